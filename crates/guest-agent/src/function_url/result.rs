//! What a function returned, as a response.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use firn_protocol::v2::Header;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What is sent to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlAnswer {
    /// 200 to 599.
    pub status: u32,
    /// With small names.
    pub headers: Vec<Header>,
    /// The body.
    pub payload: Vec<u8>,
}

/// Longest JSON of a field other than the body, in bytes: a value in memory is many times as large as its JSON.
const MAX_FIELD_BYTES: usize = 256 * 1024;

/// The parts of a result, as JSON that is not looked into yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parts<'a> {
    #[serde(borrow)]
    status_code: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    #[serde(borrow)]
    multi_value_headers: Option<&'a RawValue>,
    #[serde(borrow)]
    cookies: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    is_base64_encoded: Option<&'a RawValue>,
}

/// The response in what a function returned. An object with a `statusCode` is a response; anything else is the body of one, text as it
/// is and other values as JSON.
///
/// # Errors
///
/// A sentence that says what of it HTTP cannot carry.
pub fn answer_of(result: &[u8]) -> Result<UrlAnswer, String> {
    let as_it_is = |payload| Ok(UrlAnswer { status: 200, headers: vec![json_type()], payload });
    match result.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => {}
        Some(b'"') => match serde_json::from_slice::<String>(result) {
            Ok(text) => return as_it_is(text.into_bytes()),
            Err(_) => return as_it_is(result.to_vec()),
        },
        _ => return as_it_is(result.to_vec()),
    }
    let Ok(parts @ Parts { status_code: Some(_), .. }) = serde_json::from_slice::<Parts<'_>>(result) else {
        return as_it_is(result.to_vec());
    };
    let payload = parts.body()?;
    let mut headers = parts.all_headers()?;
    if !payload.is_empty() && !headers.iter().any(|header| header.name == "content-type") {
        headers.push(json_type());
    }
    Ok(UrlAnswer { status: parts.status()?, headers, payload })
}

/// The response without a body in the JSON that precedes a streamed body.
///
/// # Errors
///
/// A sentence that says what of it HTTP cannot carry.
pub fn answer_of_prelude(prelude: &[u8]) -> Result<UrlAnswer, String> {
    let parts: Parts<'_> = serde_json::from_slice(prelude)
        .map_err(|error| format!("What precedes the streamed body is no JSON object: {error}."))?;
    let status = if parts.status_code.is_some() { parts.status()? } else { 200 };
    Ok(UrlAnswer { status, headers: parts.all_headers()?, payload: Vec::new() })
}

impl Parts<'_> {
    fn status(&self) -> Result<u32, String> {
        let code = value_of("statusCode", self.status_code)?;
        let number = match &code {
            Value::String(text) if text.len() == 3 => text.parse().ok(),
            _ => code.as_u64(),
        };
        // Below 200 HTTP has no answers, only announcements of one.
        let status = number.filter(|status| (200..=599).contains(status));
        status.and_then(|status| u32::try_from(status).ok()).ok_or_else(|| {
            format!("The function returned the statusCode {code}: return a number from 200 to 599.")
        })
    }

    fn body(&self) -> Result<Vec<u8>, String> {
        let is_encoded = match value_of("isBase64Encoded", self.is_base64_encoded)? {
            Value::Null | Value::Bool(false) => false,
            Value::Bool(true) => true,
            Value::String(text) if text == "true" => true,
            Value::String(text) if text == "false" => false,
            other => return Err(format!("isBase64Encoded is {other}: return true or false.")),
        };
        let Some(json) = self.body.map(RawValue::get).filter(|json| *json != "null") else {
            return Ok(Vec::new());
        };
        match serde_json::from_str::<String>(json) {
            Ok(text) if is_encoded => from_base64(&text),
            Ok(text) => Ok(text.into_bytes()),
            Err(_) => Ok(json.as_bytes().to_vec()),
        }
    }

    fn all_headers(&self) -> Result<Vec<Header>, String> {
        let single = entries_of("headers", self.headers)?;
        let multiple = entries_of("multiValueHeaders", self.multi_value_headers)?;
        // The same in both is one header.
        let mut headers: Vec<Header> =
            single.into_iter().filter(|header| !multiple.contains(header)).collect();
        headers.extend(multiple);
        push_values("set-cookie", "cookies", &value_of("cookies", self.cookies)?, &mut headers)?;
        Ok(headers)
    }
}

/// The value of a field, null if it is not there.
fn value_of(field: &str, json: Option<&RawValue>) -> Result<Value, String> {
    let json = json.map_or("null", RawValue::get);
    if json.len() > MAX_FIELD_BYTES {
        return Err(format!("{field} is longer than {MAX_FIELD_BYTES} bytes."));
    }
    serde_json::from_str(json).map_err(|error| format!("{field} is no JSON: {error}."))
}

fn json_type() -> Header {
    Header { name: "content-type".into(), value: "application/json".into() }
}

fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let dense =
        text.chars().filter(|character| !character.is_whitespace()).map(|character| match character {
            '-' => '+',
            '_' => '/',
            other => other,
        });
    GeneralPurpose::new(&STANDARD, config)
        .decode(dense.collect::<String>())
        .map_err(|_| "isBase64Encoded is true, and the body is no base64.".to_owned())
}

fn entries_of(field: &str, json: Option<&RawValue>) -> Result<Vec<Header>, String> {
    let mut headers = Vec::new();
    match value_of(field, json)? {
        Value::Null => {}
        Value::Object(entries) => {
            for (name, value) in &entries {
                push_values(name, &format!("{field}: {name}"), value, &mut headers)?;
            }
        }
        _ => return Err(format!("{field} is no object: return {{ name: value }}.")),
    }
    Ok(headers)
}

fn push_values(name: &str, what: &str, value: &Value, headers: &mut Vec<Header>) -> Result<(), String> {
    match value {
        Value::Null => Ok(()),
        Value::Array(values) => values.iter().try_for_each(|one| push_values(name, what, one, headers)),
        Value::String(text) => push_header(name, text, headers),
        Value::Bool(_) | Value::Number(_) => push_header(name, &value.to_string(), headers),
        Value::Object(_) => Err(format!("{what} is an object: a header is text, a number or a list.")),
    }
}

fn push_header(name: &str, value: &str, headers: &mut Vec<Header>) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{} cannot be the name of a header.", Value::from(name)));
    }
    let value = value.trim_matches(['\t', ' ']);
    let sendable = |character: char| matches!(character, '\t' | ' '..='~' | '\u{80}'..='\u{ff}');
    if let Some(wrong) = value.chars().find(|character| !sendable(*character)) {
        let shown = Value::from(wrong.to_string());
        return Err(format!("The header \"{name}\" contains {shown}, which HTTP cannot carry: encode it."));
    }
    headers.push(Header { name: name.to_ascii_lowercase(), value: value.to_owned() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(result: &str) -> (u32, Vec<String>, String) {
        let answer = answer_of(result.as_bytes()).unwrap();
        let headers = answer.headers.iter().map(|header| format!("{}: {}", header.name, header.value));
        (answer.status, headers.collect(), String::from_utf8(answer.payload).unwrap())
    }

    #[test]
    fn an_object_with_a_status_code_is_a_response() {
        let result = r#"{"statusCode":"201","headers":{"X-A":1,"X-L":["a","b"],"X-N":null},"multiValueHeaders":{"x-l":["b"]},
            "cookies":["a=1","b=2"],"body":"aGk","isBase64Encoded":true}"#;
        let headers = [
            "x-a: 1",
            "x-l: a",
            "x-l: b",
            "set-cookie: a=1",
            "set-cookie: b=2",
            "content-type: application/json",
        ];
        assert_eq!(shown(result), (201, headers.map(str::to_owned).into(), "hi".into()));
        assert_eq!(shown(r#"{"statusCode":204}"#), (204, vec![], String::new()));
        let typed = r#"{"statusCode":200,"headers":{"Content-Type":"text/plain"},"body":{"a":[1]}}"#;
        assert_eq!(shown(typed), (200, vec!["content-type: text/plain".into()], r#"{"a":[1]}"#.into()));
    }

    #[test]
    fn anything_else_is_the_body_of_one() {
        for (result, body) in [
            (r#""text""#, "text"),
            (r#"{ "a": 1 }"#, r#"{ "a": 1 }"#),
            ("no json", "no json"),
            ("", ""),
            ("null", "null"),
        ] {
            assert_eq!(shown(result), (200, vec!["content-type: application/json".into()], body.into()));
        }
    }

    #[test]
    fn what_http_cannot_carry_is_named() {
        for (result, named) in [
            (r#"{"statusCode":99}"#, "statusCode 99"),
            (r#"{"statusCode":"abc"}"#, "statusCode \"abc\""),
            (r#"{"statusCode":200,"headers":[]}"#, "headers is no object"),
            (r#"{"statusCode":200,"headers":{"a b":"1"}}"#, "\"a b\" cannot be the name"),
            (r#"{"statusCode":200,"headers":{"a":"1\n2"}}"#, "contains \"\\n\""),
            (r#"{"statusCode":200,"headers":{"a":{}}}"#, "headers: a is an object"),
            (r#"{"statusCode":200,"body":"!","isBase64Encoded":true}"#, "no base64"),
            (r#"{"statusCode":200,"isBase64Encoded":1}"#, "isBase64Encoded is 1"),
        ] {
            let error = answer_of(result.as_bytes()).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    proptest! {
        #[test]
        fn answer_of_never_panics(result in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = answer_of(&result);
            let _ = answer_of_prelude(&result);
        }
    }
}
