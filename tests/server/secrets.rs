//! Secrets are shown once and never again: not in logs, not in metrics, not in problems, not in the file.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::http::{call, until};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::json;

const SHOP_SECRET: &str = "the-shops-own-secret-0123456789-abcdef";
const STRIPE_SECRET: &str = "whsec_of-stripe-0123456789";
const STRIPE_KEY: &str = "sk_live_of-stripe-0123456789";

/// The real program with all its logs; it is ended when the test is over, however that is.
struct Program {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    stdout: BufReader<std::process::ChildStdout>,
    heard: String,
}

fn serve(data: &Path, secret: &Path) -> Program {
    let mut child = Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0", "--data"])
        .arg(data)
        .env("FIRSTCOME__LOG__LEVEL", "trace")
        .env("FIRSTCOME__IDENTITY__AUDIENCE", "drops")
        .env("FIRSTCOME__IDENTITY__HS256_SECRET_FILES", secret)
        .env("FIRSTCOME__PAYMENTS__PROVIDER", "stripe")
        .env("FIRSTCOME__PAYMENTS__STRIPE_SECRET_FILES", secret.with_file_name("stripe.secret"))
        .env("FIRSTCOME__PAYMENTS__STRIPE_API_KEY_FILE", secret.with_file_name("stripe.key"))
        // Nobody is there: what fails is logged.
        .env("FIRSTCOME__PAYMENTS__STRIPE_URL", "http://127.0.0.1:1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(data.join("log")).expect("a file"))
        .spawn()
        .expect("started");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut heard = String::new();
    let mut address = |word: &str| loop {
        let mut line = String::new();
        assert_ne!(stdout.read_line(&mut line).expect("read"), 0, "it ended: {heard}");
        heard.push_str(&line);
        if let Some((_, rest)) = line.split_once("http://").filter(|_| line.trim_start().starts_with(word)) {
            let address = rest.split('/').next().and_then(|address| address.parse().ok());
            break address.expect("an address");
        }
    };
    let (public, admin) = (address("buyers"), address("operators"));
    Program { child, public, admin, stdout, heard }
}

impl Program {
    /// Ends it in order; all that it said.
    fn end(mut self) -> String {
        let process = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("asked to end");
        self.stdout.read_to_string(&mut self.heard).expect("what it said");
        assert!(self.child.wait().expect("ended").success());
        std::mem::take(&mut self.heard)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
    }
}

#[test]
fn secrets_are_nowhere_but_where_they_were_shown() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let secret = scratch.path().join("shop.secret");
    for (name, text) in [("shop.secret", SHOP_SECRET), ("stripe.secret", STRIPE_SECRET), ("stripe.key", STRIPE_KEY)] {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    }
    let made = Command::new(env!("CARGO_BIN_EXE_firstcome"))
        .args(["token", "create", "--before-first-start", "--role", "owner", "--name", "ann", "--data"])
        .arg(&data)
        .output()
        .expect("run");
    let operator = String::from_utf8(made.stdout).expect("text").trim_end().to_string();
    let claims = json!({ "sub": "bob", "aud": "drops", "exp": get_current_timestamp() + 600 });
    let key = EncodingKey::from_secret(SHOP_SECRET.as_bytes());
    let buyer = encode(&Header::new(Algorithm::HS256), &claims, &key).expect("signed");
    let wrong = format!("{operator}-and-more");

    let program = serve(&data, &secret);
    let mut heard = String::new();
    let mut ask = |address: SocketAddr, method: &str, path: &str, token: &str, body: &str, expected: u16| {
        let headers = format!(
            "Content-Type: application/json\r\nIdempotency-Key: some-key-of-a-client\r\nAuthorization: Bearer {token}\r\n"
        );
        let answer = call(address, method, path, &headers, body);
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
        heard.push_str(&format!("{:?}\n{}\n", answer.headers, answer.text));
    };
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 9,
                       "starts_at": "2020-01-01T00:00:00Z" });
    ask(program.admin, "POST", "/v1/drops", &operator, &drop.to_string(), 201);
    ask(program.admin, "POST", "/v1/drops", &operator, "{", 400);
    ask(program.admin, "POST", "/v1/drops/1/pause", &operator, r#"{"reason":"why not"}"#, 200);
    ask(program.admin, "POST", "/v1/drops/1/resume", &operator, r#"{"reason":"why not"}"#, 200);
    ask(program.public, "POST", "/v1/drops/1/orders", &buyer, r#"{"quantity":1,"contact":{"phone":"1"}}"#, 201);
    ask(program.public, "POST", "/v1/drops/1/orders", &buyer, r#"{"quantity":1,"buyer":"eve"}"#, 403);
    ask(program.public, "POST", "/v1/drops/1/orders", &operator, r#"{"quantity":1}"#, 401);
    ask(program.public, "POST", "/v1/payments/stripe", &buyer, "{}", 401);
    ask(program.admin, "GET", "/v1/orders", &wrong, "", 401);
    ask(program.admin, "GET", "/v1/orders", &buyer, "", 401);
    ask(program.admin, "GET", "/v1/audit", &operator, "", 200);
    ask(program.admin, "GET", "/metrics", &operator, "", 200);
    until("the log says what fails", || {
        let log = std::fs::read_to_string(data.join("log"));
        log.is_ok_and(|log| log.contains("payment session request failed"))
    });
    heard.push_str(&program.end());
    heard.push_str(&std::fs::read_to_string(data.join("log")).expect("its log"));
    assert!(heard.contains("operator=ann"), "the log says who did it: {heard}");

    let mut places = vec![("what it said".to_string(), heard.into_bytes())];
    for entry in std::fs::read_dir(&data).expect("the data directory") {
        let path = entry.expect("an entry").path();
        places.push((path.display().to_string(), std::fs::read(&path).expect("read")));
    }
    // A signature may have an underline in it: what is after its last one is too short to be looked for.
    let after = |separator: char, text: &str| text.rsplit(separator).next().expect("a part").to_string();
    for secret in [
        after('_', &operator),
        after('.', &buyer),
        SHOP_SECRET.into(),
        STRIPE_SECRET.into(),
        STRIPE_KEY.into(),
        "some-key-of-a-client".into(),
    ] {
        for (place, bytes) in &places {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is in {place}");
        }
    }
}
