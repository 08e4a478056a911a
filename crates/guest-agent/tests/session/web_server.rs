//! Functions that are HTTP servers.

use std::net::TcpListener;

use firn_protocol::INITIAL_CREDIT_BYTES;
use firn_protocol::v2::guest_message::Message as Said;
use firn_protocol::v2::host_message::Message as Say;
use firn_protocol::v2::{CancelInvoke, Credit, Header, Invoke, LoadFunction, PayloadChunk, PrepareSnapshot};

use crate::host::{Host, expect_next, invoke, node_program, resume_record};

fn load_server(command: &[&str]) -> Say {
    // A port that is free: the system gives it to nobody else for some time.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Say::LoadFunction(LoadFunction {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        port: port.into(),
        ready_timeout_ms: 60_000,
        function_name: "server".into(),
        ..LoadFunction::default()
    })
}

fn start(program: &str) -> Host {
    let mut host = Host::start_bootstrap(&format!(
        "import http from 'node:http';\nconst port = process.env.PORT;\n{program}"
    ));
    host.say(load_server(&[node_program().to_str().unwrap(), "bootstrap.mjs"]));
    host
}

fn serve(program: &str) -> Host {
    let mut host = start(program);
    expect_next!(host, Said::FunctionReady(ready) if !ready.awaits_restore);
    host
}

fn request(id: u32, method: &str, path: &str, payload: &[u8], more: bool) -> Say {
    Say::Invoke(Invoke {
        id,
        timeout_ms: 60_000,
        kind: "http".into(),
        method: method.into(),
        url: format!("http://me.example{path}"),
        headers: vec![Header { name: "x-a".into(), value: "1".into() }],
        payload: payload.into(),
        more,
        ..Invoke::default()
    })
}

/// Answers what it was asked.
const ECHO: &str = "
    http.createServer(async (request, response) => {
      const pieces = [];
      for await (const piece of request) pieces.push(piece);
      if (request.url.startsWith('/aws/')) return response.writeHead(404).end();
      console.log('asked');
      response.writeHead(201, { 'content-type': 'text/plain', 'x-a': [request.headers['x-a'], '2'] });
      response.end(`${request.method} ${request.headers.host} ${request.url} ${Buffer.concat(pieces)}`);
    }).listen(port);";

fn prepare(host: &mut Host) {
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    expect_next!(host, Said::SnapshotPrepared(prepared) if prepared.warnings.is_empty());
}

#[test]
fn a_server_answers_requests_before_and_after_a_snapshot() {
    let mut host = serve(ECHO);
    host.say(request(1, "PUT", "/a%20b?c=d", b"body", false));
    let Said::ResponseHead(head) = host.next() else { panic!() };
    assert_eq!(head.status, 201);
    let named: Vec<_> =
        head.headers.iter().map(|header| format!("{}: {}", header.name, header.value)).collect();
    assert!(named.contains(&"x-a: 1".into()) && named.contains(&"x-a: 2".into()), "{named:?}");
    assert!(
        !named
            .iter()
            .any(|header| header.starts_with("connection") || header.starts_with("transfer-encoding"))
    );
    assert_eq!(host.rest_of(head).payload, b"PUT me.example /a%20b?c=d body");
    for round in 1..=2 {
        prepare(&mut host);
        host.snapshot(3, usize::try_from(round).unwrap());
        host.say(resume_record(1));
        host.say(request(round, "GET", "/", b"", false));
        expect_next!(host, Said::Resumed(_));
        assert_eq!(host.answer(), "GET me.example / ");
    }
    assert!(host.logs.contains(&"stdout: asked".into()), "{:?}", host.logs);
    host.close().unwrap();
}

#[test]
fn an_event_is_refused_by_name() {
    let mut host = serve(ECHO);
    host.say(invoke(1, "{}", 60_000));
    let result = host.next_result();
    assert_eq!(result.end.function_error, "Unhandled");
    let text = String::from_utf8(result.payload).unwrap();
    assert!(text.contains("Runtime.EventNotSupported") && text.contains("call its URL"), "{text}");
}

#[test]
fn bodies_longer_than_a_frame_go_both_ways_as_they_come() {
    let mut host = serve(
        "
        http.createServer((request, response) => {
          if (request.url.startsWith('/aws/')) return response.writeHead(404).end();
          request.pipe(response);
        }).listen(port);",
    );
    let whole: Vec<u8> = (0..3_000_000_usize).map(|index| u8::try_from(index % 251).unwrap()).collect();
    let (first, rest) = whole.split_at(INITIAL_CREDIT_BYTES);
    host.say(request(1, "POST", "/", first, true));
    let mut received = Vec::new();
    let mut credit = 0;
    let mut chunks = rest.chunks(64 * 1024).peekable();
    // The response begins before the request is over.
    loop {
        while chunks.peek().is_some_and(|chunk| chunk.len() <= credit) {
            let chunk = chunks.next().unwrap();
            credit -= chunk.len();
            host.say(Say::PayloadChunk(PayloadChunk {
                id: 1,
                data: chunk.into(),
                last: chunks.peek().is_none(),
            }));
        }
        let piece = match host.next() {
            Said::Credit(granted) => {
                credit += usize::try_from(granted.bytes).unwrap();
                continue;
            }
            Said::ResponseHead(head) => {
                assert!(head.streams);
                head.payload
            }
            Said::PayloadChunk(chunk) => chunk.data,
            Said::InvokeEnd(end) => {
                assert_eq!(end.error_type, "");
                break;
            }
            other => host.unexpected("a part of the response", &other),
        };
        received.extend_from_slice(&piece);
        host.say(Say::Credit(Credit { id: 1, bytes: u32::try_from(piece.len()).unwrap() }));
    }
    assert!(received == whole);
}

#[test]
fn a_server_sees_that_nobody_waits_any_more() {
    let mut host = serve(
        "
        http.createServer((request, response) => {
          if (request.url.startsWith('/aws/')) return response.writeHead(404).end();
          response.write('data: 1\\n\\n');
          response.on('close', () => console.log('gone'));
        }).listen(port);",
    );
    host.say(request(1, "GET", "/", b"", false));
    let Said::ResponseHead(head) = host.next() else { panic!() };
    assert!(head.streams);
    if head.payload.is_empty() {
        expect_next!(host, Said::PayloadChunk(chunk) if chunk.data == b"data: 1\n\n");
    }
    host.say(Say::CancelInvoke(CancelInvoke { id: 1 }));
    expect_next!(host, Said::InvokeEnd(end) if end.error_type == "AbortError");
    host.say(request(2, "GET", "/", b"", false));
    expect_next!(host, Said::ResponseHead(_));
    assert!(host.logs.contains(&"stdout: gone".into()), "{:?}", host.logs);
}

#[test]
fn hooks_are_called_by_a_server_that_has_them() {
    let mut host = serve(
        "
        let asked = 0;
        const seen = [];
        http.createServer((request, response) => {
          request.resume();
          const [, hook] = /^\\/aws\\/lambda-microvms\\/runtime\\/v1\\/(.*)/.exec(request.url) ?? [];
          if (hook === 'ready' && ++asked < 3) return response.writeHead(503).end();
          if (hook !== undefined) { seen.push(`${request.method} ${hook}`); return response.end('{}') }
          response.end(seen.join(', '));
        }).listen(port);",
    );
    for round in 1..=2 {
        host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
        expect_next!(host, Said::SnapshotPrepared(_));
        host.snapshot(3, round);
        host.say(resume_record(1));
        expect_next!(host, Said::Resumed(_));
    }
    host.say(request(1, "GET", "/", b"", false));
    assert_eq!(host.answer(), "POST ready, POST run, POST suspend, POST resume");
}

#[test]
fn a_hook_that_fails_is_told() {
    let mut host = serve(
        "
        http.createServer((request, response) => {
          request.resume();
          if (request.url.endsWith('/run')) return response.writeHead(500).end('no luck');
          response.end('{}');
        }).listen(port);",
    );
    prepare(&mut host);
    host.snapshot(3, 1);
    host.say(resume_record(1));
    host.say(request(1, "GET", "/", b"", false));
    expect_next!(host, Said::FunctionFailed(failed) if failed.code == "FIRN_FUNCTION_HOOK" && failed.message.contains("/run answered 500: no luck"));
    expect_next!(host, Said::Resumed(_));
    assert!(String::from_utf8(host.next_result().payload).unwrap().contains("Runtime.AfterRestoreError"));
}

#[test]
fn a_server_that_does_not_get_ready_is_told() {
    let mut host = Host::start_bootstrap("setInterval(() => {}, 1000)");
    let Say::LoadFunction(load) = load_server(&[node_program().to_str().unwrap(), "bootstrap.mjs"]) else {
        panic!()
    };
    host.say(Say::LoadFunction(LoadFunction { ready_timeout_ms: 200, ..load }));
    expect_next!(host, Said::FunctionFailed(failed) if failed.code == "FIRN_FUNCTION_NOT_READY");
    let mut host = start("process.exit(4)");
    expect_next!(host, Said::FunctionFailed(failed) if failed.message.contains("exited with status 4"));
    let mut host = Host::start_bootstrap("");
    host.say(load_server(&["./nothing"]));
    expect_next!(host, Said::FunctionFailed(failed) if failed.code == "FIRN_FUNCTION_IMPORT" && failed.message.contains("nothing"));
}

#[test]
fn a_server_in_the_image_of_another_runtime_takes_its_place() {
    let mut host =
        Host::start(&format!("import http from 'node:http';\nconst port = process.env.PORT;\n{ECHO}"));
    let Say::LoadFunction(load) =
        load_server(&["sh", "-c", &format!("exec {} index.js", node_program().display())])
    else {
        panic!()
    };
    host.say(Say::LoadFunction(load));
    expect_next!(host, Said::FunctionReady(_));
    assert_eq!(host.deeds.lock().unwrap()[..2], ["mount", "kill"]);
    host.say(request(1, "GET", "/", b"", false));
    assert_eq!(host.answer(), "GET me.example / ");
}

#[test]
fn what_is_no_http_is_the_functions_error() {
    for (said, error_type) in [
        ("nonsense", "Runtime.InvalidResponse"),
        ("HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n", "Runtime.UpgradeNotSupported"),
        ("", "Runtime.NoResponse"),
        ("HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nhalf", "Runtime.TruncatedResponse"),
        ("HTTP/1.0 200 OK\\r\\n\\r\\nall", ""),
    ] {
        let mut host = serve(&format!("
            const {{ createServer }} = await import('node:net');
            createServer((socket) => socket.on('error', () => {{}}).once('data', (data) => {{
              if (String(data).startsWith('POST /aws/')) return socket.end('HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\n\\r\\n');
              socket.end('{said}');
            }})).listen(port, '127.0.0.1');"));
        host.say(request(1, "GET", "/", b"", false));
        let result = host.next_result();
        let text = String::from_utf8(result.payload).unwrap();
        let told = format!("{text} {}", result.end.error_type);
        assert!(told.contains(error_type), "{said}: {told}");
        assert_eq!(result.end.function_error.is_empty(), error_type.is_empty(), "{said}");
    }
}
