//! The settings of payments.

use super::limits::Relation;
use super::model::Config;
use crate::types::Provider;

pub(super) fn session_provider(text: &str) -> Result<Option<Provider>, String> {
    match text.trim() {
        "" => Ok(None),
        "stripe" => Ok(Some(Provider::Stripe)),
        "payos" => Ok(Some(Provider::Payos)),
        "standard-webhooks" => Ok(Some(Provider::StandardWebhooks)),
        "sandbox" => Ok(Some(Provider::Sandbox)),
        _ => Err("stripe, payos, standard-webhooks or sandbox".into()),
    }
}

pub(super) fn relations(config: &Config) -> [Relation; 5] {
    let payments = &config.payments;
    let is = |provider| payments.provider == Some(provider);
    [
        (
            ["payments.provider", "payments.stripe_api_key_file"],
            !is(Provider::Stripe)
                || (payments.stripe_api_key_file.is_some() && !payments.stripe_secret_files.is_empty()),
            "payments.provider = stripe requires payments.stripe_api_key_file, and payments.stripe_secret_files to verify payment events"
                .into(),
        ),
        (
            ["payments.provider", "payments.payos_client_id"],
            !is(Provider::Payos)
                || (payments.payos_api_key_file.is_some()
                    && !payments.payos_client_id.is_empty()
                    && !payments.payos_checksum_key_files.is_empty()),
            "payments.provider = payos requires payments.payos_client_id, payments.payos_api_key_file and payments.payos_checksum_key_files"
                .into(),
        ),
        (
            ["payments.provider", "payments.link_template"],
            !is(Provider::StandardWebhooks)
                || (!payments.link_template.is_empty() && !payments.standard_webhooks_secret_files.is_empty()),
            "payments.provider = standard-webhooks requires payments.link_template, and payments.standard_webhooks_secret_files to sign it"
                .into(),
        ),
        (
            ["payments.provider", "payments.sandbox"],
            !is(Provider::Sandbox) || payments.sandbox,
            "payments.provider = sandbox requires payments.sandbox = true, so that play money is never accepted by accident".into(),
        ),
        (
            ["payments.refunds", "payments.stripe_api_key_file"],
            !payments.automatic_refunds
                || (payments.stripe_api_key_file.is_some() && !payments.stripe_secret_files.is_empty()),
            "payments.refunds = automatic requires payments.stripe_api_key_file, which makes refunds, and payments.stripe_secret_files to verify events about them"
                .into(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &[(&'static str, &str)]) -> Result<Config, Vec<String>> {
        let flags: Vec<(&'static str, String)> = flags.iter().map(|(key, value)| (*key, (*value).into())).collect();
        Config::load(None, [], &flags).map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.0).collect())
    }

    #[test]
    fn a_provider_needs_all_that_its_sessions_and_its_webhooks_need() {
        let told = |flags: &[(&'static str, &str)]| load(flags).expect_err("refused").join("\n");
        let stripe = ("payments.provider", "stripe");
        assert!(told(&[stripe, ("payments.stripe_api_key_file", "k")]).contains("payments.stripe_secret_files"));
        assert!(told(&[stripe, ("payments.stripe_secret_files", "s")]).contains("payments.stripe_api_key_file"));
        assert!(load(&[stripe, ("payments.stripe_secret_files", "s"), ("payments.stripe_api_key_file", "k")]).is_ok());
        let payos = [
            ("payments.provider", "payos"),
            ("payments.payos_client_id", "c"),
            ("payments.payos_api_key_file", "k"),
            ("payments.payos_checksum_key_files", "s"),
        ];
        assert!(load(&payos).is_ok());
        for left_out in 1..payos.len() {
            let flags: Vec<_> = payos.iter().copied().enumerate().filter(|(at, _)| *at != left_out).collect();
            let flags: Vec<_> = flags.into_iter().map(|(_, flag)| flag).collect();
            assert!(told(&flags).contains(payos[left_out].0), "{flags:?}");
        }
        assert!(told(&[("payments.provider", "sandbox")]).contains("payments.sandbox = true"));
        assert!(load(&[("payments.provider", "sandbox"), ("payments.sandbox", "true")]).is_ok());
        assert!(told(&[("payments.provider", "paypal")]).contains("stripe, payos, standard-webhooks or sandbox"));
        assert!(told(&[("payments.provider", "standard-webhooks")]).contains("payments.link_template"));
        let automatic = ("payments.refunds", "automatic");
        let key = ("payments.stripe_api_key_file", "k");
        assert!(told(&[automatic]).contains("payments.refunds = automatic requires payments.stripe_api_key_file"));
        assert!(told(&[automatic, key]).contains("payments.stripe_secret_files"));
        assert!(
            load(&[automatic, key, ("payments.stripe_secret_files", "s")]).expect("valid").payments.automatic_refunds
        );
        assert!(told(&[("payments.refunds", "yes")]).contains("manual"));
        let many = [("payments.stripe_secret_files", "a,b,c,d,e")];
        assert!(told(&many).contains("at most 4"));
    }

    #[test]
    fn keys_are_never_sent_in_clear_over_a_network() {
        for good in
            ["https://api.stripe.com", "https://proxy.example/stripe/", "http://127.0.0.1:1", "http://[::1]:80/x"]
        {
            assert!(load(&[("payments.stripe_url", good)]).is_ok(), "{good}");
        }
        for bad in ["", "http://api.stripe.com", "http://127.0.0.1.evil.example", "http://10.0.0.1:80", "ftp://x", "x"]
        {
            assert!(load(&[("payments.stripe_url", bad)]).is_err(), "{bad}");
        }
    }
}
