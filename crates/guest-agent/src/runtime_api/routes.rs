//! Which request is which.

use super::exchange::Refusal;

/// What a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    InvocationNext,
    /// Of the invocation with this request id.
    InvocationResponse(String),
    /// Of the invocation with this request id.
    InvocationError(String),
    InitError,
    RestoreNext,
    RestoreError,
    /// Firn's own: the function to load.
    LoadNext,
    /// Firn's own: an invocation, or word that a snapshot is to be taken.
    InvocationOrSnapshotNext,
}

impl Route {
    /// Finds the route of a request.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn of(method: &str, target: &str) -> Result<Self, Refusal> {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (route, wanted) = match parts.as_slice() {
            ["2018-06-01", "runtime", rest @ ..] => match rest {
                ["invocation", "next"] => (Self::InvocationNext, "GET"),
                ["invocation", id, "response"] => (Self::InvocationResponse((*id).to_owned()), "POST"),
                ["invocation", id, "error"] => (Self::InvocationError((*id).to_owned()), "POST"),
                ["init", "error"] => (Self::InitError, "POST"),
                ["restore", "next"] => (Self::RestoreNext, "GET"),
                ["restore", "error"] => (Self::RestoreError, "POST"),
                _ => return Err(unknown(path)),
            },
            ["firn", "v1", "load", "next"] => (Self::LoadNext, "GET"),
            ["firn", "v1", "invocation", "next"] => (Self::InvocationOrSnapshotNext, "GET"),
            ["2020-01-01", "extension", ..] | ["2020-08-15" | "2022-07-01", ..] => {
                let message = "Extensions of AWS Lambda, their logs and telemetry are not supported by Firn.";
                return Err(Refusal::new(403, "Extension.NotSupported", message));
            }
            _ => return Err(unknown(path)),
        };
        if method != wanted {
            let message = format!("{method} is not possible here: use {wanted}.");
            return Err(Refusal::new(405, "MethodNotAllowed", message));
        }
        Ok(route)
    }
}

fn unknown(path: &str) -> Refusal {
    let shown: String = path.chars().take(200).collect();
    Refusal::new(404, "NotFound", format!("The Runtime API has no {shown}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_knows_the_routes_and_names_what_is_none() {
        let of = |method, path| Route::of(method, path);
        assert_eq!(of("GET", "/2018-06-01/runtime/invocation/next"), Ok(Route::InvocationNext));
        assert_eq!(
            of("POST", "/2018-06-01/runtime/invocation/a-1/response"),
            Ok(Route::InvocationResponse("a-1".into()))
        );
        for (method, path, status) in [
            ("POST", "/2018-06-01/runtime/invocation/next", 405),
            ("GET", "/2018-06-01/runtime/invocation/a/b/response", 404),
            ("GET", "/", 404),
            ("POST", "/2020-01-01/extension/register", 403),
        ] {
            assert_eq!(of(method, path).unwrap_err().status, status, "{path}");
        }
    }
}
