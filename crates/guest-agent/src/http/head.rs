//! The head of a message.

use httparse::{EMPTY_HEADER, Header, Request, Response, Status};

use super::{BadMessage, MAX_HEAD_BYTES};

/// Most header fields of a message.
const MAX_FIELDS: usize = 128;

/// Header fields, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    fn of(headers: &[Header<'_>]) -> Self {
        Self(headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect())
    }

    /// Reads the fields of a trailer. `None` if there is more to come; else the number of bytes as well.
    pub fn parse_trailer(bytes: &[u8]) -> Result<Option<(usize, Self)>, BadMessage> {
        let mut headers = [EMPTY_HEADER; MAX_FIELDS];
        match httparse::parse_headers(bytes, &mut headers) {
            Ok(Status::Complete((length, fields))) => Ok(Some((length, Self::of(fields)))),
            Ok(Status::Partial) => limited(bytes.len()),
            Err(error) => Err(BadMessage::new(400, format!("The trailer is no HTTP: {error}."))),
        }
    }

    /// The first value of this name as text; `None` if there is none, or it is no text.
    pub fn text(&self, name: &str) -> Option<&str> {
        let first = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        first.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// All values of this name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Whether a list of words, such as that of `Connection`, has this one.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        self.values(name).any(|value| {
            let text = String::from_utf8_lossy(value);
            text.split(',').any(|one| one.trim().eq_ignore_ascii_case(word))
        })
    }
}

/// A request without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// For example "GET".
    pub method: String,
    /// Path and query, as they were sent.
    pub target: String,
    /// Its header.
    pub fields: Fields,
    /// Whether the connection may carry another request afterwards.
    pub keeps_alive: bool,
}

impl RequestHead {
    /// Reads a head. `None` if there is more to come; else the number of its bytes as well.
    ///
    /// # Errors
    ///
    /// If it is no HTTP/1, or too long.
    pub fn parse(bytes: &[u8]) -> Result<Option<(usize, Self)>, BadMessage> {
        let mut headers = [EMPTY_HEADER; MAX_FIELDS];
        let mut request = Request::new(&mut headers);
        let length = match request.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return limited(bytes.len()),
            Err(error) => {
                return Err(BadMessage::new(400, format!("The request is no HTTP/1.1: {error}.")));
            }
        };
        let fields = Fields::of(request.headers);
        let keeps_alive = match request.version {
            Some(1) => !fields.lists("connection", "close"),
            _ => fields.lists("connection", "keep-alive"),
        };
        let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        Ok(Some((length, Self { method: method.to_owned(), target: target.to_owned(), fields, keeps_alive })))
    }
}

/// A response without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 599.
    pub status: u16,
    /// Its header.
    pub fields: Fields,
}

impl ResponseHead {
    /// Reads a head. `None` if there is more to come; else the number of its bytes as well.
    ///
    /// # Errors
    ///
    /// If it is no HTTP/1, or too long.
    pub fn parse(bytes: &[u8]) -> Result<Option<(usize, Self)>, BadMessage> {
        let mut headers = [EMPTY_HEADER; MAX_FIELDS];
        let mut response = Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return limited(bytes.len()),
            Err(error) => return Err(BadMessage::new(502, format!("{error}."))),
        };
        let status = response.code.unwrap_or_default();
        if !(100..=599).contains(&status) {
            return Err(BadMessage::new(502, format!("it has the status {status}.")));
        }
        Ok(Some((length, Self { status, fields: Fields::of(response.headers) })))
    }
}

/// What is not complete yet, unless it is too long already.
fn limited<T>(length: usize) -> Result<Option<T>, BadMessage> {
    if length <= MAX_HEAD_BYTES {
        return Ok(None);
    }
    Err(BadMessage::new(431, format!("The header is longer than {MAX_HEAD_BYTES} bytes.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_takes_a_head_when_it_is_complete() {
        let text = b"POST /a?b HTTP/1.1\r\nHost: x\r\nconnection: Foo, CLOSE\r\n\r\nbody";
        for cut in 0..text.len() - 4 {
            assert_eq!(RequestHead::parse(&text[..cut]), Ok(None), "{cut}");
        }
        let (length, head) = RequestHead::parse(text).unwrap().unwrap();
        assert_eq!(&text[length..], b"body");
        assert_eq!((head.method.as_str(), head.target.as_str(), head.keeps_alive), ("POST", "/a?b", false));
        assert_eq!(head.fields.text("HOST"), Some("x"));
    }

    #[test]
    fn keeps_alive_as_the_version_says() {
        let keeps = |text: &[u8]| RequestHead::parse(text).unwrap().unwrap().1.keeps_alive;
        assert!(keeps(b"GET / HTTP/1.1\r\n\r\n"));
        assert!(!keeps(b"GET / HTTP/1.0\r\n\r\n"));
        assert!(keeps(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    }

    #[test]
    fn parse_refuses_what_is_no_http_or_too_long() {
        assert_eq!(RequestHead::parse(b"\x16\x03\x01\x02 hello").unwrap_err().status, 400);
        let long = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &vec![b'x'; MAX_HEAD_BYTES]].concat();
        assert_eq!(RequestHead::parse(&long).unwrap_err().status, 431);
        let many = "A: b\r\n".repeat(MAX_FIELDS + 1);
        assert_eq!(
            RequestHead::parse(format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()).unwrap_err().status,
            400
        );
    }
}
