//! Check of the secrets: set, random, and not the example of a manual. Findings never contain a secret.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::finding::Finding;
use crate::config::secret_file::{FileProtection, read};
use crate::config::{Config, ConfigError};
use crate::outbox::OutboxSetup;
use crate::payments::WebhookVerifiers;
use crate::payments::sessions::SessionService;

const CHECK: &str = "secrets";
/// Limit for the file of a secret, which has one line.
const FILE_BYTES_MAX: u64 = 1024;
/// Different characters of a random secret, at least; of 32 in base64 about 25 differ.
const CHARACTERS_MIN: usize = 10;
/// Parts of secrets that manuals print as examples.
const EXAMPLES: [&str; 6] =
    ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plJ3nmyCDGBKInavdOK15jsl", "changeme", "CHANGEME", "example", "password"];

/// Checks the secrets of these settings. `has_play_money`: the running server accepts play money.
pub fn secrets(config: &Config, has_play_money: bool) -> Finding {
    let fail = |found: String, to_do: &str| Finding::fail(CHECK, found, to_do);
    let wrong = mistakes(config);
    if !wrong.is_empty() {
        let lines: Vec<String> = wrong.into_iter().collect();
        return fail(lines.join("; "), "store each as the provider gave it, in a file that only its owner can read");
    }
    if has_play_money || config.payments.sandbox {
        let found = "play money is accepted (payments.sandbox or --demo): any buyer can pay with it";
        return fail(found.into(), "start the server without --demo and with payments.sandbox = false");
    }
    let files = files(config);
    let weak: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let text = read("", path, FileProtection::Secret, FILE_BYTES_MAX).ok()?;
            let weakness = weakness_of(&String::from_utf8_lossy(&text))?;
            Some(format!("{} {weakness}", path.display()))
        })
        .collect();
    if !weak.is_empty() {
        return fail(weak.join("; "), "use the secret of the live mode, or make one: openssl rand -base64 32");
    }
    if files.is_empty() {
        return Finding::warn(
            CHECK,
            "no secret is set in these settings: no provider can report payments",
            "set payments.*_secret_files, unless payments are recorded by hand",
        );
    }
    Finding::pass(CHECK, format!("{} files, each random and readable by its owner only", files.len()))
}

/// Returns the configuration errors that a start would report about secrets, each once.
fn mistakes(config: &Config) -> BTreeSet<String> {
    let errors =
        [WebhookVerifiers::open(config).err(), SessionService::open(config).err(), OutboxSetup::open(config).err()];
    errors.into_iter().flatten().flatten().map(|mistake: ConfigError| mistake.to_string()).collect()
}

fn files(config: &Config) -> Vec<PathBuf> {
    let (payments, outbox) = (&config.payments, &config.outbox);
    let lists =
        [&payments.standard_webhooks_secret_files, &payments.stripe_secret_files, &payments.payos_checksum_key_files];
    let single = [&payments.stripe_api_key_file, &payments.payos_api_key_file, &outbox.endpoint_secret_file];
    lists.into_iter().flatten().chain(single.into_iter().flatten()).cloned().collect()
}

/// Returns the reason why a secret is unfit, if it is.
fn weakness_of(text: &str) -> Option<&'static str> {
    let text = text.trim_end();
    let secret = text.strip_prefix("whsec_").unwrap_or(text);
    let characters: BTreeSet<char> = secret.chars().collect();
    if text.starts_with("sk_test_") || text.starts_with("rk_test_") {
        Some("is a key of Stripe's test mode")
    } else if EXAMPLES.iter().any(|example| secret.contains(example)) {
        Some("contains an example")
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
    fn secrets_are_set_random_and_not_an_example() {
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
    fn play_money_and_keys_of_a_test_mode_fail() {
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
