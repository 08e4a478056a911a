//! A request as an event.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use firn_protocol::v2::Invoke;
use serde_json::{Map, Value, json};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The event of a request with this body, as JSON.
pub fn event_of(invoke: &Invoke, body: &[u8], now: SystemTime) -> Vec<u8> {
    let Target { host, path, query } = Target::of(&invoke.url);
    let mut headers = Map::new();
    let mut cookies = Vec::new();
    for header in &invoke.headers {
        let name = header.name.to_ascii_lowercase();
        if name == "cookie" {
            cookies.extend(header.value.split(';').map(str::trim).filter(|cookie| !cookie.is_empty()));
        } else {
            join(&mut headers, name, &header.value);
        }
    }
    headers.entry("host").or_insert_with(|| Value::from(host.as_str()));
    let mut parameters = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        join(&mut parameters, name.into_owned(), &value);
    }
    let text_of = |name: &str| headers.get(name).and_then(Value::as_str).unwrap_or_default();
    // The server appends the caller's address; what stands before it is what the caller says.
    let source = text_of("x-forwarded-for").rsplit(',').next().unwrap_or_default().trim();
    let source = if source.is_empty() { "127.0.0.1" } else { source };
    let name_of_host = host.split(':').next().unwrap_or_default();
    let first_label = name_of_host.split('.').next().unwrap_or_default();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "cookies": cookies,
        "queryStringParameters": parameters,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": first_label,
            "domainName": host,
            "domainPrefix": first_label,
            "http": {
                "method": method_of(invoke),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": source,
                "userAgent": text_of("user-agent"),
            },
            "requestId": invoke.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": common_log_time(since.as_secs()),
            "timeEpoch": u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        },
        "headers": headers,
        "isBase64Encoded": false,
    });
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(text) => set(&mut event, "body", Value::from(text)),
            Err(_) => {
                set(&mut event, "body", Value::from(BASE64_STANDARD.encode(body)));
                set(&mut event, "isBase64Encoded", Value::from(true));
            }
        }
    }
    event.to_string().into_bytes()
}

fn method_of(invoke: &Invoke) -> &str {
    if invoke.method.is_empty() { "GET" } else { &invoke.method }
}

fn set(event: &mut Value, name: &str, value: Value) {
    if let Some(fields) = event.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// Values of the same name become one, with commas between them.
fn join(map: &mut Map<String, Value>, name: String, value: &str) {
    let joined = match map.get(&name).and_then(Value::as_str) {
        Some(before) => format!("{before},{value}"),
        None => value.to_owned(),
    };
    map.insert(name, Value::from(joined));
}

/// The parts of a URL, each as the caller wrote it.
struct Target {
    host: String,
    path: String,
    query: String,
}

impl Target {
    fn of(url: &str) -> Self {
        let url = url.split('#').next().unwrap_or_default();
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = before.find('/').map_or((before, ""), |slash| before.split_at(slash));
        let host = if host.is_empty() { "function".to_owned() } else { host.to_ascii_lowercase() };
        let path = if path.is_empty() { "/" } else { path };
        Self { host, path: path.to_owned(), query: query.to_owned() }
    }
}

/// A time as in the Common Log Format, for example "12/Mar/2020:19:03:58 +0000".
fn common_log_time(seconds: u64) -> String {
    let (year, month, day) = civil_day(seconds / 86_400);
    let name = MONTHS.get(month.saturating_sub(1)).copied().unwrap_or_default();
    let of_day = seconds % 86_400;
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{day:02}/{name}/{year}:{hours:02}:{minutes:02}:{seconds:02} +0000")
}

/// A day as "2020/03/12".
pub fn day_of(now: SystemTime) -> String {
    let (year, month, day) = civil_day(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400);
    format!("{year}/{month:02}/{day:02}")
}

/// Year, month and day of a day since 1970, in the Gregorian calendar.
fn civil_day(days: u64) -> (u64, usize, u64) {
    let mut year = 1970;
    let mut left = days.min(3_000_000);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left = left.saturating_sub(length);
        year = year.saturating_add(1);
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1_usize;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left = left.saturating_sub(length);
        month = month.saturating_add(1);
    }
    (year, month, left.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use firn_protocol::v2::Header;

    use super::*;

    fn event(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Value {
        let headers = headers
            .iter()
            .map(|(name, value)| Header { name: (*name).into(), value: (*value).into() })
            .collect();
        let invoke = Invoke { url: url.into(), headers, method: "PUT".into(), ..Invoke::default() };
        let now = UNIX_EPOCH + Duration::from_millis(1_583_953_438_123);
        serde_json::from_slice(&event_of(&invoke, body, now)).unwrap()
    }

    #[test]
    fn an_event_has_path_query_and_headers() {
        let headers =
            [("X", "1"), ("x", "2"), ("Cookie", "a=1; b=2"), ("X-Forwarded-For", "9.9.9.9, 1.2.3.4")];
        let event = event("http://Foo.example:81/a%20b/?q=1&q=%C3%A4+c&r#hash", &headers, b"text");
        assert_eq!(event["rawPath"], "/a%20b/");
        assert_eq!(event["rawQueryString"], "q=1&q=%C3%A4+c&r");
        assert_eq!(event["queryStringParameters"], json!({"q": "1,\u{e4} c", "r": ""}));
        assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
        assert_eq!(event["headers"]["x"], "1,2");
        assert_eq!(event["headers"]["host"], "foo.example:81");
        let context = &event["requestContext"];
        assert_eq!((&context["apiId"], &context["domainName"]), (&json!("foo"), &json!("foo.example:81")));
        assert_eq!(context["http"]["sourceIp"], "1.2.3.4");
        assert_eq!(context["http"]["method"], "PUT");
        assert_eq!(context["time"], "11/Mar/2020:19:03:58 +0000");
        assert_eq!(context["timeEpoch"], 1_583_953_438_123_u64);
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("text"), &json!(false)));
    }

    #[test]
    fn a_body_that_is_no_text_becomes_base64_and_one_that_is_not_there_nothing() {
        let bytes = event("/", &[], &[0xff, 0]);
        assert_eq!((&bytes["body"], &bytes["isBase64Encoded"]), (&json!("/wA="), &json!(true)));
        let none = event("", &[], b"");
        assert!(none.get("body").is_none() && none["rawPath"] == "/");
        assert_eq!(none["requestContext"]["http"]["sourceIp"], "127.0.0.1");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (day, expected) in [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (20_818, (2026, 12, 31))] {
            assert_eq!(civil_day(day), expected);
        }
    }
}
