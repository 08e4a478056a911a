//! Processes that get their invocations over the Runtime API.

use std::fmt::Write as _;

use firn_protocol::INITIAL_CREDIT_BYTES;
use firn_protocol::v2::guest_message::Message as Said;
use firn_protocol::v2::host_message::Message as Say;
use firn_protocol::v2::{
    CancelInvoke, Credit, Header, Invoke, LoadFunction, PayloadChunk, PrepareSnapshot, SnapshotPrepared,
};

use crate::host::{Host, expect_next, invoke, load_function, resume_record};

/// What the programs here begin with.
const CLIENT: &str = "
    import http from 'node:http';
    const base = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;
    export const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
    const send = (method, path, body, headers = {}) => new Promise((resolve, reject) => {
      const root = path.startsWith('/firn/') ? new URL(base).origin : base;
      const request = http.request(root + path, { method, headers, agent }, (response) => {
        const pieces = [];
        response.on('data', (piece) => pieces.push(piece));
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(pieces).toString() }));
      });
      request.on('error', reject);
      if (typeof body === 'function') body(request); else request.end(body);
    });
    const get = (path) => send('GET', path);
    const post = (path, body, headers) => send('POST', path, body, headers);
    const next = async () => {
      const { headers, text } = await get('/invocation/next');
      return { id: headers['lambda-runtime-aws-request-id'], headers, event: text === '' ? undefined : JSON.parse(text) };
    };
    process.on('uncaughtException', (error) => { console.error(error); process.exit(9) });
";

fn program(body: &str) -> String {
    format!("{CLIENT}\n{body}")
}

fn prepare(host: &mut Host) -> SnapshotPrepared {
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    match host.next() {
        Said::SnapshotPrepared(prepared) => prepared,
        other => host.unexpected("a prepared snapshot", &other),
    }
}

fn request(id: u32, url: &str, body: &[u8]) -> Say {
    Say::Invoke(Invoke {
        id,
        timeout_ms: 60_000,
        kind: "http".into(),
        method: "POST".into(),
        url: url.into(),
        headers: vec![Header { name: "x-a".into(), value: "1".into() }],
        payload: body.into(),
        ..Invoke::default()
    })
}

const ECHO: &str = "
    for (;;) {
      const { id, headers, event } = await next();
      console.log('invoked');
      const { status, text } = await post(`/invocation/${id}/response`, JSON.stringify({ event, headers }));
      if (status !== 202 || JSON.parse(text).status !== 'OK') process.exit(8);
    }";

#[test]
fn a_process_answers_what_it_asks_for() {
    let mut host = Host::load_bootstrap(&program(ECHO));
    for id in 1..=3 {
        host.say(invoke(id, r#"{"n":1}"#, 60_000));
        let answer = host.answer();
        assert!(answer.starts_with(r#"{"event":{"n":1},"#), "{answer}");
        assert!(answer.contains(&format!("\"lambda-runtime-aws-request-id\":\"request-{id}\"")), "{answer}");
        assert!(answer.contains("arn:aws:lambda:local:000000000000:function:example"), "{answer}");
    }
    assert_eq!(host.logs.iter().filter(|line| *line == "stdout: invoked").count(), 3);
    host.close().unwrap();
}

#[test]
fn a_poll_that_waits_at_the_doorbell_is_answered_after_the_restore() {
    let mut host = Host::start_bootstrap(&program(ECHO));
    // The base has no process at all.
    assert!(prepare(&mut host).warnings.is_empty());
    host.snapshot(2, 1);
    host.say(resume_record(1));
    host.say(load_function(60_000));
    expect_next!(host, Said::Resumed(_));
    expect_next!(host, Said::FunctionReady(_));
    for round in 2..=4 {
        assert!(prepare(&mut host).warnings.is_empty());
        host.snapshot(3, usize::try_from(round).unwrap());
        host.say(resume_record(u8::try_from(round).unwrap()));
        host.say(invoke(round, "1", 60_000));
        expect_next!(host, Said::Resumed(resumed) if resumed.doorbell_count == round);
        assert!(host.answer().starts_with(r#"{"event":1,"#));
    }
    let deeds = host.deeds.lock().unwrap().clone();
    assert_eq!(deeds.iter().filter(|deed| *deed == "thaw").count(), 4);
    assert!(
        host.logs.iter().any(|line| line.contains("does not see these variables") && line.contains("SECRET"))
    );
}

#[test]
fn a_client_that_waits_for_the_restore_runs_its_hooks_before_its_first_invocation() {
    let text = program(
        "if (process.env.AWS_LAMBDA_INITIALIZATION_TYPE !== 'snap-start') process.exit(7);
         const { status } = await get('/restore/next');
         let hooks = status;
         const again = await get('/restore/next');
         for (;;) {
           const { id } = await next();
           await post(`/invocation/${id}/response`, JSON.stringify([hooks, again.status]));
         }",
    );
    let mut host = Host::load_bootstrap(&text);
    prepare(&mut host);
    host.snapshot(3, 1);
    host.say(resume_record(1));
    host.say(invoke(1, "1", 60_000));
    expect_next!(host, Said::Resumed(_));
    assert_eq!(host.answer(), "[200,403]");
    // Without a snapshot the first invocation stands for it.
    let mut host = Host::load_bootstrap(&text);
    host.say(invoke(1, "1", 60_000));
    assert_eq!(host.answer(), "[200,403]");
}

#[test]
fn a_process_that_is_started_at_boot_asks_for_its_function_across_the_base_snapshot() {
    let mut host = Host::boot(&program(
        "const ask = () => get('/firn/v1/load/next').catch(() => new Promise((resolve) => setTimeout(resolve, 20)).then(ask));
         const load = JSON.parse((await ask()).text);
         for (;;) {
           const { id } = await next();
           await post(`/invocation/${id}/response`, JSON.stringify(load));
         }",
    ));
    prepare(&mut host);
    host.snapshot(2, 1);
    host.say(resume_record(1));
    host.say(Say::LoadFunction(LoadFunction {
        entry: "main".into(),
        handler: "handle".into(),
        function_name: "example".into(),
        memory_mib: 256,
        environment: [("MINE".to_owned(), "yes".to_owned())].into(),
        ..LoadFunction::default()
    }));
    expect_next!(host, Said::Resumed(_));
    expect_next!(host, Said::FunctionReady(_));
    host.say(invoke(1, "1", 60_000));
    assert_eq!(
        host.answer(),
        r#"{"entry":"main","environment":{"MINE":"yes"},"functionName":"example","handler":"handle","memoryMib":256}"#
    );
}

#[test]
fn a_process_that_asks_for_it_is_told_of_a_snapshot_when_samples_were_answered() {
    let mut host = Host::load_bootstrap(&program(
        "const calls = [];
         for (;;) {
           const { status, headers, text } = await get('/firn/v1/invocation/next');
           if (status === 204) {
             calls.push('before');
             await get('/restore/next');
             calls.push('after');
             continue;
           }
           const id = headers['lambda-runtime-aws-request-id'];
           calls.push(JSON.parse(text));
           await post(`/invocation/${id}/response`, JSON.stringify(calls));
         }",
    ));
    host.say(invoke(1, "1", 60_000));
    assert_eq!(host.answer(), "[1]");
    prepare(&mut host);
    host.snapshot(3, 1);
    host.say(resume_record(1));
    host.say(invoke(2, "2", 60_000));
    expect_next!(host, Said::Resumed(_));
    assert_eq!(host.answer(), r#"[1,"before","after",2]"#);
    // A snapshot that comes while it is busy is told when it asks again.
    host.say(invoke(3, "3", 60_000));
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    assert_eq!(host.answer(), r#"[1,"before","after",2,3]"#);
    expect_next!(host, Said::SnapshotPrepared(_));
}

#[test]
fn a_process_tells_that_it_cannot_prepare_for_a_snapshot() {
    let mut host = Host::load_bootstrap(&program(
        "await get('/firn/v1/invocation/next');
         await post('/init/error', JSON.stringify({ errorType: 'A', errorMessage: 'not now' }));
         process.exit(1);",
    ));
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    expect_next!(host, Said::FunctionFailed(failed) if failed.code == "FIRN_FUNCTION_HOOK" && failed.message == "A: not now");
}

#[test]
fn a_restore_that_fails_is_told_and_ends_what_comes() {
    let mut host = Host::load_bootstrap(&program(
        "await get('/restore/next');
         await post('/restore/error', JSON.stringify({ errorType: 'Boom', errorMessage: 'no luck', stackTrace: ['here'] }));
         setInterval(() => {}, 1000);",
    ));
    prepare(&mut host);
    host.snapshot(3, 1);
    host.say(resume_record(1));
    host.say(invoke(1, "1", 60_000));
    expect_next!(host, Said::FunctionFailed(failed) if failed.code == "FIRN_FUNCTION_HOOK" && failed.message == "Boom: no luck" && failed.stack == "here");
    expect_next!(host, Said::Resumed(_));
    let result = host.next_result();
    assert!(String::from_utf8(result.payload).unwrap().contains("Runtime.AfterRestoreError"));
}

#[test]
fn the_environment_is_that_of_lambda_and_of_the_function() {
    let mut host = Host::start_bootstrap(&program(
        "const { id } = await next();
         const { MINE, _HANDLER, LAMBDA_TASK_ROOT, AWS_LAMBDA_FUNCTION_NAME, AWS_LAMBDA_FUNCTION_MEMORY_SIZE, AWS_REGION } = process.env;
         const isThere = LAMBDA_TASK_ROOT === process.cwd();
         await post(`/invocation/${id}/response`, JSON.stringify({ MINE, _HANDLER, isThere, AWS_LAMBDA_FUNCTION_NAME, AWS_LAMBDA_FUNCTION_MEMORY_SIZE, AWS_REGION }));
         await next();",
    ));
    host.say(Say::LoadFunction(LoadFunction {
        handler: "my.handler".into(),
        function_name: "example".into(),
        memory_mib: 256,
        environment: [("MINE".to_owned(), "yes".to_owned()), ("AWS_REGION".to_owned(), "eu".to_owned())]
            .into(),
        ..LoadFunction::default()
    }));
    expect_next!(host, Said::FunctionReady(_));
    host.say(invoke(1, "1", 60_000));
    assert_eq!(
        host.answer(),
        r#"{"MINE":"yes","_HANDLER":"my.handler","isThere":true,"AWS_LAMBDA_FUNCTION_NAME":"example","AWS_LAMBDA_FUNCTION_MEMORY_SIZE":"256","AWS_REGION":"eu"}"#
    );
}

#[test]
fn errors_of_an_invocation_have_the_form_of_lambda() {
    let mut host = Host::load_bootstrap(&program(
        "for (;;) {
           const { id, event } = await next();
           await post(`/invocation/${id}/error`, event.body, { 'Lambda-Runtime-Function-Error-Type': 'Function.Mine' });
         }",
    ));
    host.say(invoke(1, r#"{"body":"{\"errorType\":\"A\",\"errorMessage\":\"b\"}"}"#, 60_000));
    let result = host.next_result();
    assert_eq!(result.end.function_error, "Unhandled");
    assert_eq!(String::from_utf8(result.payload).unwrap(), r#"{"errorType":"A","errorMessage":"b"}"#);
    host.say(invoke(2, r#"{"body":"just text"}"#, 60_000));
    let text = String::from_utf8(host.next_result().payload).unwrap();
    assert!(text.contains("Function.Mine") && text.contains("just text"), "{text}");
}

#[test]
fn an_event_longer_than_a_message_arrives_as_a_whole() {
    let mut host = Host::load_bootstrap(&program(
        "for (;;) {
           const { id, event } = await next();
           await post(`/invocation/${id}/response`, JSON.stringify(event.length));
         }",
    ));
    let whole = format!("\"{}\"", "x".repeat(3_000_000)).into_bytes();
    let (first, rest) = whole.split_at(INITIAL_CREDIT_BYTES);
    let Say::Invoke(begun) = invoke(1, "", 60_000) else { panic!() };
    host.say(Say::Invoke(Invoke { payload: first.into(), more: true, ..begun }));
    let mut credit = 0;
    let mut chunks = rest.chunks(64 * 1024).peekable();
    while let Some(chunk) = chunks.next() {
        while credit < chunk.len() {
            match host.next() {
                Said::Credit(granted) => credit += usize::try_from(granted.bytes).unwrap(),
                other => host.unexpected("credit", &other),
            }
        }
        credit -= chunk.len();
        host.say(Say::PayloadChunk(PayloadChunk {
            id: 1,
            data: chunk.into(),
            last: chunks.peek().is_none(),
        }));
    }
    let answer = loop {
        match host.next() {
            Said::Credit(_) => {}
            Said::ResponseHead(head) => break host.rest_of(head),
            other => host.unexpected("an answer", &other),
        }
    };
    assert_eq!(answer.payload, b"3000000");
}

#[test]
fn a_failed_start_is_told() {
    let load = |text: &str| {
        let mut host = Host::start_bootstrap(&program(text));
        host.say(load_function(60_000));
        match host.next() {
            Said::FunctionFailed(failed) => failed,
            other => host.unexpected("a failure", &other),
        }
    };
    let failed = load(
        "await post('/init/error', JSON.stringify({ errorType: 'A', errorMessage: 'b' })); process.exit(1)",
    );
    assert_eq!((failed.code.as_str(), failed.message.as_str()), ("FIRN_FUNCTION_IMPORT", "A: b"));
    let failed = load("process.exit(0)");
    assert_eq!(failed.code, "FIRN_FUNCTION_EXITED");
    assert!(failed.message.contains("exited with status 0"), "{}", failed.message);
    let mut host = Host::start_bootstrap("setInterval(() => {}, 1000)");
    host.say(load_function(100));
    expect_next!(host, Said::FunctionFailed(failed) if failed.code == "FIRN_FUNCTION_NOT_READY");
}

#[test]
fn a_request_becomes_an_event_and_what_is_returned_a_response() {
    let mut host = Host::load_bootstrap(&program(
        "for (;;) {
           const { id, event } = await next();
           const { rawPath, queryStringParameters, body, headers, version } = event;
           const answer = body === 'bad' ? { statusCode: 7 } : {
             statusCode: 201, headers: { 'X-B': headers['x-a'] }, body: JSON.stringify([version, rawPath, queryStringParameters, body]) };
           await post(`/invocation/${id}/response`, JSON.stringify(answer));
         }",
    ));
    host.say(request(1, "http://name/a/b?c=d", b"body"));
    let Said::ResponseHead(head) = host.next() else { panic!() };
    assert_eq!(head.status, 201);
    let named: Vec<_> =
        head.headers.iter().map(|header| format!("{}: {}", header.name, header.value)).collect();
    assert_eq!(named, ["x-b: 1", "content-type: application/json"]);
    assert_eq!(host.rest_of(head).payload, br#"["2.0","/a/b",{"c":"d"},"body"]"#);
    host.say(request(2, "http://name/", b"bad"));
    let result = host.next_result();
    assert_eq!(result.end.function_error, "Unhandled");
    assert!(String::from_utf8(result.payload).unwrap().contains("statusCode 7"));
}

#[test]
fn wrong_requests_are_refused_by_name() {
    let mut host = Host::load_bootstrap(&program(
        "const { id } = await next();
         const asked = [];
         const ask = async (method, path, body) => {
           const { status, text } = await send(method, path, body);
           asked.push([status, JSON.parse(text).errorType]);
         };
         await ask('POST', '/invocation/nobody/response', 'x');
         await ask('GET', '/nothing');
         await ask('POST', '/invocation/next', 'x');
         await ask('POST', '/init/error', '{}');
         await ask('POST', '/restore/error', '{}');
         await post(`/invocation/${id}/response`, JSON.stringify(asked));
         await ask('POST', `/invocation/${id}/response`, '{}');
         console.log('twice', JSON.stringify(asked.at(-1)));
         await next();",
    ));
    host.say(invoke(1, "1", 60_000));
    let expected = r#"[[400,"InvalidRequestID"],[404,"NotFound"],[405,"MethodNotAllowed"],[403,"InvalidStateTransition"],[403,"InvalidStateTransition"]]"#;
    assert_eq!(host.answer(), expected);
    prepare(&mut host);
    assert!(host.logs.contains(&r#"stdout: twice [400,"InvalidRequestID"]"#.to_owned()), "{:?}", host.logs);
}

#[test]
fn a_response_that_is_too_large_is_refused() {
    let mut host = Host::load_bootstrap(&program(
        "for (;;) {
           const { id, event } = await next();
           const body = 'x'.repeat(event.bytes);
           const write = (request) => { for (let i = 0; i < body.length; i += 100000) request.write(body.slice(i, i + 100000)); request.end() };
           const { status, text } = await post(`/invocation/${id}/response`, event.chunked ? write : body);
           console.log(`status ${status}`);
         }",
    ));
    for (id, event) in [(1, r#"{"bytes":6291557}"#), (2, r#"{"bytes":6291557,"chunked":true}"#)] {
        host.say(invoke(id, event, 60_000));
        let result = host.next_result();
        assert_eq!(result.end.function_error, "Unhandled");
        assert!(String::from_utf8(result.payload).unwrap().contains("Function.ResponseSizeTooLarge"));
    }
    for (id, event) in [(3, r#"{"bytes":6291556}"#), (4, r#"{"bytes":6291556,"chunked":true}"#)] {
        host.say(invoke(id, event, 60_000));
        assert_eq!(host.next_result().payload.len(), 6_291_556);
    }
    prepare(&mut host);
    assert_eq!(
        host.logs,
        ["stdout: status 413", "stdout: status 413", "stdout: status 202", "stdout: status 202"]
    );
}

#[test]
fn the_process_is_killed_when_an_invocation_takes_too_long() {
    let mut host = Host::load_bootstrap(&program("await next(); setInterval(() => {}, 1000);"));
    host.say(invoke(1, "1", 200));
    let result = host.next_result();
    assert!(String::from_utf8(result.payload).unwrap().contains("Task timed out after 0.20 seconds"));
    expect_next!(host, Said::FunctionFailed(failed) if failed.code == "FIRN_FUNCTION_EXITED");
    host.say(invoke(2, "1", 200));
    expect_next!(host, Said::InvokeRefused(refused) if refused.code == "FIRN_FUNCTION_EXITED");
}

#[test]
fn an_invocation_fails_when_its_process_exits() {
    let mut host = Host::load_bootstrap(&program("await next(); process.exit(3)"));
    host.say(invoke(1, "1", 60_000));
    let text = String::from_utf8(host.next_result().payload).unwrap();
    assert!(text.contains("Runtime.ExitError") && text.contains("exited with status 3"), "{text}");
    expect_next!(host, Said::FunctionFailed(failed) if failed.code == "FIRN_FUNCTION_EXITED");
}

#[test]
fn a_streamed_response_is_passed_on_as_it_is_written() {
    let mut host = Host::load_bootstrap(&program(
        "for (;;) {
           const { id, event } = await next();
           const headers = { 'Lambda-Runtime-Function-Response-Mode': 'streaming', 'Content-Type': 'text/plain', Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body' };
           const { status } = await post(`/invocation/${id}/response`, async (request) => {
             request.write('first');
             // Nothing more before somebody has read it.
             if (event.waits) await next();
             request.write('x'.repeat(event.bytes));
             if (event.fails) request.addTrailers({ 'Lambda-Runtime-Function-Error-Type': 'Function.Broke', 'Lambda-Runtime-Function-Error-Body': Buffer.from(JSON.stringify({ errorMessage: 'in the middle' })).toString('base64') });
             request.end();
           }, headers);
           console.log(`status ${status}`);
         }",
    ));
    host.say(invoke(1, r#"{"waits":true,"bytes":10}"#, 60_000));
    let Said::ResponseHead(head) = host.next() else { panic!() };
    assert!(head.streams && head.headers[0].value == "text/plain", "{head:?}");
    // The second poll of the process gets this one, and goes on with the first.
    expect_next!(host, Said::PayloadChunk(chunk) if chunk.data == b"first");
    host.say(invoke(2, "1", 60_000));
    let answer = host.rest_of(head);
    assert_eq!((answer.payload.len(), answer.end.function_error.as_str()), (10, ""));
    host.say(Say::CancelInvoke(CancelInvoke { id: 2 }));
    host.say(invoke(3, r#"{"bytes":0,"fails":true}"#, 60_000));
    let Said::ResponseHead(head) = host.next() else { panic!() };
    let answer = host.rest_of(head);
    assert_eq!(
        (answer.end.error_type.as_str(), answer.end.error_message.as_str()),
        ("Function.Broke", "in the middle")
    );
    // As much as the host takes, and no more.
    let bytes = 3 << 20;
    host.say(invoke(4, &format!("{{\"bytes\":{bytes}}}"), 60_000));
    let Said::ResponseHead(head) = host.next() else { panic!() };
    let mut received = head.payload.len();
    while received < INITIAL_CREDIT_BYTES {
        match host.next() {
            Said::PayloadChunk(chunk) => received += chunk.data.len(),
            other => host.unexpected("a piece", &other),
        }
    }
    assert_eq!(received, INITIAL_CREDIT_BYTES);
    host.say(Say::Credit(Credit { id: 4, bytes: 1000 }));
    expect_next!(host, Said::PayloadChunk(chunk) if chunk.data.len() == 1000);
    host.say(Say::Credit(Credit { id: 4, bytes: u32::try_from(bytes).unwrap() }));
    let answer = host.rest_of(head);
    assert_eq!(received + 1000 + answer.payload.len(), bytes + "first".len());
}

#[test]
fn a_streamed_response_of_a_url_begins_with_its_status_and_headers() {
    let mut host = Host::load_bootstrap(&program(
        "for (;;) {
           const { id } = await next();
           const headers = { 'Lambda-Runtime-Function-Response-Mode': 'streaming', 'Content-Type': 'application/vnd.awslambda.http-integration-response' };
           await post(`/invocation/${id}/response`, (request) => {
             request.write('{\"statusCode\":202,\"headers\":{\"a\":\"b\"},');
             setTimeout(() => { request.write('\"cookies\":[\"c=d\"]}\\0\\0\\0'); setTimeout(() => request.end('\\0\\0\\0\\0\\0body'), 20) }, 20);
           }, headers);
         }",
    ));
    host.say(request(1, "http://name/", b""));
    let Said::ResponseHead(head) = host.next() else { panic!() };
    let mut shown = head.status.to_string();
    for header in &head.headers {
        write!(shown, " {}={}", header.name, header.value).unwrap();
    }
    assert_eq!((shown.as_str(), head.streams), ("202 a=b set-cookie=c=d", true));
    let answer = host.rest_of(head);
    assert_eq!((answer.payload.as_slice(), answer.end.error_type.as_str()), (b"body".as_slice(), ""));
}

#[test]
fn a_stream_that_breaks_off_is_told() {
    let mut host = Host::load_bootstrap(&program(
        "for (;;) {
           const { id } = await next();
           await post(`/invocation/${id}/response`, (request) => { request.write('half'); setTimeout(() => request.destroy(), 50) },
             { 'Lambda-Runtime-Function-Response-Mode': 'streaming' }).catch(() => {});
         }",
    ));
    host.say(invoke(1, "1", 60_000));
    let answer = host.next_result();
    assert_eq!(
        (answer.payload.as_slice(), answer.end.error_type.as_str()),
        (b"half".as_slice(), "Runtime.TruncatedResponse")
    );
    host.say(invoke(2, "1", 60_000));
    host.next_result();
}

#[test]
fn nonsense_and_many_connections_hurt_nobody() {
    let mut host = Host::load_bootstrap(&program(
        "import net from 'node:net';
         const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
         const raw = (text) => new Promise((resolve) => {
           const socket = net.connect(port, host, () => socket.write(text));
           let got = '';
           socket.on('data', (piece) => { got += piece });
           socket.on('close', () => resolve(got.split('\\r\\n')[0]));
           socket.on('error', () => resolve('error'));
         });
         // Connections that are there and say nothing, but fewer than there may be.
         for (let i = 0; i < 20; i++) net.connect(port, host).on('error', () => {});
         const { id } = await next();
         const answers = [await raw('\\x16\\x03\\x01 hello\\r\\n\\r\\n'), await raw('GET /2018-06-01/runtime/x HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n'),
           await raw(`POST /2018-06-01/runtime/invocation/${id}/response HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nzz\\r\\n`),
           await raw('GET / HTTP/1.1\\r\\nA: ' + 'x'.repeat(400000))];
         await post(`/invocation/${id}/response`, JSON.stringify(answers));
         await next();",
    ));
    host.say(invoke(1, "1", 60_000));
    let answer = host.answer();
    assert!(
        answer.starts_with(
            r#"["HTTP/1.1 400 Bad Request","HTTP/1.1 404 Not Found","HTTP/1.1 400 Bad Request","#
        ),
        "{answer}"
    );
}
