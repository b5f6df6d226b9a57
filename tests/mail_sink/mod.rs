//! A real SMTP server (`aiosmtpd`, in Python) that fails as a test says, and tells everything that happens to it.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

/// A mail as the server got it.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    pub to: String,
    /// Head and body, encoded as on the wire.
    pub content: String,
    /// The server's monotonic clock, in seconds.
    pub at: f64,
    pub mode: String,
    pub encrypted: bool,
    pub user: Option<String>,
}

impl ReceivedMail {
    /// Returns a header, unfolded; `None` if the head has it not exactly once.
    pub fn header(&self, name: &str) -> Option<String> {
        let content = self.content.replace("\r\n", "\n");
        let (head, _) = content.split_once("\n\n")?;
        let mut found = Vec::new();
        let unfolded = head.replace("\n ", " ").replace("\n\t", " ");
        for line in unfolded.lines() {
            if let Some((key, value)) = line.split_once(':')
                && key.eq_ignore_ascii_case(name)
            {
                found.push(value.trim().to_owned());
            }
        }
        (found.len() == 1).then(|| found.remove(0))
    }
    pub fn id(&self) -> String {
        self.header("Message-ID").expect("one Message-ID")
    }
    /// Returns the subject, and the text behind the head, without soft line breaks.
    pub fn words(&self) -> (String, String) {
        let subject = self.header("Subject").expect("one subject");
        let content = self.content.replace("\r\n", "\n").replace("=\n", "");
        (subject, content.split_once("\n\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// Returns which mail it is, by the first word of the English subject.
    pub fn kind(&self) -> String {
        let subject = self.header("Subject").expect("one subject");
        subject.split([':', ' ']).next().expect("a word").to_owned()
    }
}

#[derive(Default)]
struct Told {
    events: Mutex<Vec<Value>>,
    more: Condvar,
}

pub struct MailSink {
    process: Child,
    modes: Mutex<ChildStdin>,
    told: Arc<Told>,
    pub port: u16,
}

impl MailSink {
    pub fn new() -> MailSink {
        MailSink::with(&[])
    }

    /// With a certificate and its key: STARTTLS and a password are required.
    pub fn encrypted(certificate: &Path, key: &Path) -> MailSink {
        MailSink::with(&[certificate.to_str().expect("a path"), key.to_str().expect("a path")])
    }

    /// The same, encrypted from the begin of each connection, as on port 465.
    pub fn implicit(certificate: &Path, key: &Path) -> MailSink {
        MailSink::with(&[certificate.to_str().expect("a path"), key.to_str().expect("a path"), "--implicit"])
    }

    pub fn with(arguments: &[&str]) -> MailSink {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mail_sink/sink.py");
        let mut process = Command::new(python())
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let first: Value = serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
        let port = first["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        let told = Arc::new(Told::default());
        let hears = Arc::clone(&told);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                hears.events.lock().push(serde_json::from_str(&line).expect("JSON"));
                hears.more.notify_all();
            }
        });
        let modes = Mutex::new(process.stdin.take().expect("piped"));
        MailSink { process, modes, told, port }
    }

    /// Changes how it fails, and waits until it does.
    pub fn mode(&self, mode: &str) {
        let before = self.events("mode").len();
        writeln!(self.modes.lock(), "{mode}").expect("told");
        let mut events = self.told.events.lock();
        while events.iter().filter(|event| event["what"] == "mode").count() == before {
            self.told.more.wait(&mut events);
        }
    }

    pub fn events(&self, what: &str) -> Vec<Value> {
        self.told.events.lock().iter().filter(|event| event["what"] == what).cloned().collect()
    }

    /// Returns the mails whose data came, whatever it answered.
    pub fn received(&self) -> Vec<ReceivedMail> {
        let mails = self.events("mail").into_iter().map(|mail| ReceivedMail {
            to: mail["to"][0].as_str().expect("an address").into(),
            content: mail["content"].as_str().expect("text").into(),
            at: mail["at"].as_f64().expect("a number"),
            mode: mail["mode"].as_str().expect("a mode").into(),
            encrypted: mail["encrypted"].as_bool().expect("a flag"),
            user: mail["user"].as_str().map(Into::into),
        });
        mails.collect()
    }

    pub fn to(&self, address: &str) -> Vec<ReceivedMail> {
        self.received().into_iter().filter(|mail| mail.to == address).collect()
    }
}

impl Drop for MailSink {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Returns a Python that has `aiosmtpd`: Debian's package is for the system's one.
fn python() -> &'static str {
    let has_it = |python: &&str| {
        let status = Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_it);
    found.expect("Python with aiosmtpd: the Debian package python3-aiosmtpd, or the one of that name from PyPI")
}
