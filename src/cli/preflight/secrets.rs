//! Secrets: set, sound, and nobody's example. Nothing of them is ever told.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::finding::Finding;
use crate::config::secret_file::{FileProtection, read};
use crate::config::{Config, ConfigError};
use crate::outbox::OutboxSetup;
use crate::payments::WebhookVerifiers;
use crate::payments::sessions::SessionService;

const CHECK: &str = "secrets";
/// A secret's file: a line.
const FILE_BYTES_MAX: u64 = 1024;
/// Fewer different characters are no chance: of 32 random ones in base64, 25 are.
const CHARACTERS_MIN: usize = 10;
/// What manuals print, and people leave where it is.
const EXAMPLES: [&str; 6] =
    ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plJ3nmyCDGBKInavdOK15jsl", "changeme", "CHANGEME", "example", "password"];

/// The secrets that these settings name; `plays` if the running server takes play money.
pub(super) fn secrets(config: &Config, plays: bool) -> Finding {
    let fail = |found: String, to_do: &str| Finding::fail(CHECK, found, to_do);
    let wrong = mistakes(config);
    if !wrong.is_empty() {
        let lines: Vec<String> = wrong.into_iter().collect();
        return fail(lines.join("; "), "make each a file of its owner alone, as its provider gave it");
    }
    if plays || config.payments.sandbox {
        let found = "play money is taken (payments.sandbox, or --demo): everybody can pay with it";
        return fail(found.into(), "start the server without --demo and with payments.sandbox = false");
    }
    let files = files(config);
    let poor: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let text = read(path, FileProtection::Secret, FILE_BYTES_MAX).ok()?;
            let why = poor(&String::from_utf8_lossy(&text))?;
            Some(format!("{} {why}", path.display()))
        })
        .collect();
    if !poor.is_empty() {
        return fail(poor.join("; "), "take the one of the live mode, or make one: openssl rand -base64 32");
    }
    if files.is_empty() {
        return Finding::warn(
            CHECK,
            "none is set in these settings: no provider can tell of payments",
            "set payments.*_secret_files; where payments are recorded by hand, this is as it should be",
        );
    }
    Finding::pass(CHECK, format!("{} files, each sound and readable for its owner alone", files.len()))
}

/// What a start with these settings would say of its secrets, each once.
fn mistakes(config: &Config) -> BTreeSet<String> {
    let told =
        [WebhookVerifiers::open(config).err(), SessionService::open(config).err(), OutboxSetup::open(config).err()];
    told.into_iter().flatten().flatten().map(|mistake: ConfigError| mistake.to_string()).collect()
}

fn files(config: &Config) -> Vec<PathBuf> {
    let (payments, outbox) = (&config.payments, &config.outbox);
    let lists =
        [&payments.standard_webhooks_secret_files, &payments.stripe_secret_files, &payments.payos_checksum_key_files];
    let single = [&payments.stripe_api_key_file, &payments.payos_api_key_file, &outbox.endpoint_secret_file];
    lists.into_iter().flatten().chain(single.into_iter().flatten()).cloned().collect()
}

/// Why a secret is none.
fn poor(text: &str) -> Option<&'static str> {
    let text = text.trim_end();
    let secret = text.strip_prefix("whsec_").unwrap_or(text);
    let characters: BTreeSet<char> = secret.chars().collect();
    if text.starts_with("sk_test_") || text.starts_with("rk_test_") {
        Some("is a key of Stripe's test mode")
    } else if EXAMPLES.iter().any(|example| secret.contains(example)) {
        Some("has an example in it")
    } else if characters.len() < CHARACTERS_MIN {
        Some("is not random")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::super::finding::Verdict;
    use super::*;

    fn file(directory: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
        path
    }

    const GOOD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n";

    #[test]
    fn secrets_are_set_sound_and_nobodys_example() {
        let scratch = tempfile::tempdir().expect("scratch");
        let with = |name: &str, text: &str, mode: u32| {
            let mut config = Config::defaults();
            config.payments.standard_webhooks_secret_files = vec![file(scratch.path(), name, text, mode)];
            secrets(&config, false)
        };
        assert_eq!(with("good", GOOD, 0o600).verdict, Verdict::Pass);
        assert_eq!(secrets(&Config::defaults(), false).verdict, Verdict::Warn, "none");
        for (name, text, mode) in [
            ("open", GOOD, 0o644),
            ("short", "whsec_c2hvcnQ=", 0o600),
            ("manual", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 0o600),
            ("zeros", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 0o600),
        ] {
            let finding = with(name, text, mode);
            assert_eq!(finding.verdict, Verdict::Fail, "{finding:?}");
            let told = format!("{} {}", finding.found, finding.to_do);
            assert!(told.contains(name) && !told.contains("MfKQ") && !told.contains("C2FV"), "{told}");
        }
    }

    #[test]
    fn play_money_and_keys_of_a_test_mode_are_for_no_sale() {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut config = Config::defaults();
        config.payments.stripe_api_key_file =
            Some(file(scratch.path(), "key", "sk_test_4eC39HqLyjWDarjtT1zdp7dc", 0o600));
        assert!(secrets(&config, false).found.contains("test mode"));
        config.payments.stripe_api_key_file =
            Some(file(scratch.path(), "key", "sk_live_4eC39HqLyjWDarjtT1zdp7dc", 0o600));
        assert_eq!(secrets(&config, false).verdict, Verdict::Pass);
        assert_eq!(secrets(&config, true).verdict, Verdict::Fail, "the server plays");
        config.payments.sandbox = true;
        assert_eq!(secrets(&config, false).verdict, Verdict::Fail);
    }
}
