//! Asks a Prometheus for the alerts that fire.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{ACCEPT, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;

use crate::api::json::console::ConsoleAlert;
use crate::config::ConfigError;
use crate::egress::{AddressGuard, ClientOptions, EgressClient, OutboundRequest, Target};
use crate::types::UnixMillis;
use crate::web::runbooks;

/// Time for the whole answer: an operator waits for it.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of the answer that are read; an alert has about 500.
const RESPONSE_BYTES_MAX: usize = 256 * 1024;
/// Alerts that are shown.
const ALERTS_MAX: usize = 50;
/// Characters of each text that are shown.
const TEXT_CHARS_MAX: usize = 400;
const PATH: &str = "/api/v1/alerts";

/// A Prometheus that has the rules of `dashboards/alerts.yml`.
pub struct PrometheusClient {
    client: EgressClient,
    target: Target,
}

#[derive(Deserialize)]
struct AlertsAnswer {
    data: AlertsData,
}

#[derive(Deserialize)]
struct AlertsData {
    alerts: Vec<ActiveAlert>,
}

#[derive(Deserialize)]
struct ActiveAlert {
    labels: AlertLabels,
    #[serde(default)]
    annotations: Annotations,
    state: String,
    #[serde(rename = "activeAt")]
    active_at: Option<String>,
}

#[derive(Deserialize)]
struct AlertLabels {
    #[serde(default)]
    alertname: String,
    #[serde(default)]
    severity: String,
}

#[derive(Deserialize, Default)]
struct Annotations {
    #[serde(default)]
    summary: String,
    #[serde(default)]
    description: String,
}

impl PrometheusClient {
    /// Returns the client for a base URL; `None` if the URL is empty.
    ///
    /// The operator's own configuration names the server: unlike a webhook endpoint, it may lie in any network and needs no
    /// TLS.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn open(url: &str) -> Result<Option<PrometheusClient>, ConfigError> {
        if url.is_empty() {
            return Ok(None);
        }
        let mistake = |reason: String| ConfigError(format!("console.prometheus_url: {reason}"));
        let anywhere = ["0.0.0.0/0", "::/0"].map(|network| network.parse().ok()).into_iter().flatten().collect();
        let guard = AddressGuard::new(anywhere);
        let target = Target::parse(&format!("{}{PATH}", url.trim_end_matches('/')), &guard);
        let target = target.map_err(|error| mistake(error.to_string()))?;
        let options =
            ClientOptions { timeout: TIMEOUT, response_bytes_max: RESPONSE_BYTES_MAX, ..ClientOptions::default() };
        let client = EgressClient::new(guard, options).map_err(mistake)?;
        Ok(Some(PrometheusClient { client, target }))
    }

    /// Returns the alerts of firstcome that fire or are about to.
    ///
    /// # Errors
    /// The reason why there is no answer, for operators.
    pub async fn alerts(&self) -> Result<Vec<ConsoleAlert>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let request = OutboundRequest { target: &self.target, method: Method::GET, headers, body: Bytes::new() };
        let host = self.target.host();
        let answer = self.client.send(request).await.map_err(|error| format!("Prometheus at {host}: {error}"))?;
        if answer.status != StatusCode::OK {
            return Err(format!("Prometheus at {host} answers {}", answer.status.as_u16()));
        }
        parse(&answer.body).ok_or_else(|| format!("Prometheus at {host} answers something else than its alerts"))
    }
}

/// Returns the alerts in an answer: those that fire first, then those that wake an operator.
fn parse(body: &[u8]) -> Option<Vec<ConsoleAlert>> {
    let answer: AlertsAnswer = serde_json::from_slice(body).ok()?;
    let ours = answer.data.alerts.into_iter().filter(|alert| alert.labels.alertname.starts_with("Firstcome"));
    let mut alerts: Vec<ConsoleAlert> = ours.take(ALERTS_MAX).map(shown).collect();
    alerts.sort_by_key(|alert| (alert.state != "firing", alert.severity != "page", alert.name.clone()));
    Some(alerts)
}

fn shown(alert: ActiveAlert) -> ConsoleAlert {
    let cut = |text: String| text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect::<String>();
    let ActiveAlert { labels, annotations, state, active_at } = alert;
    let since = active_at.and_then(|text| text.parse::<Timestamp>().ok()).map(Timestamp::as_millisecond);
    ConsoleAlert {
        has_runbook: runbooks::page(&labels.alertname).is_some(),
        name: cut(labels.alertname),
        severity: cut(labels.severity),
        state: cut(state),
        summary: cut(annotations.summary),
        description: Some(cut(annotations.description)).filter(|text| !text.is_empty()),
        since: since.and_then(UnixMillis::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn alerts_of_others_are_left_out_and_what_fires_comes_first() {
        let alert = |name: &str, state: &str, severity: &str| {
            json!({ "labels": { "alertname": name, "severity": severity, "instance": "a" }, "state": state, "value": "1",
                    "annotations": { "summary": "s", "runbook_url": "x" }, "activeAt": "2026-11-28T11:00:00.123456789Z" })
        };
        let alerts = json!([
            alert("FirstcomeDiskLow", "pending", "page"),
            alert("Theirs", "firing", "page"),
            alert("FirstcomeRefundsDue", "firing", "ticket"),
            alert("FirstcomeOversold", "firing", "page"),
        ]);
        let answer = json!({ "status": "success", "data": { "alerts": alerts } });
        let found = parse(answer.to_string().as_bytes()).expect("parsed");
        let names: Vec<&str> = found.iter().map(|alert| alert.name.as_str()).collect();
        assert_eq!(names, ["FirstcomeOversold", "FirstcomeRefundsDue", "FirstcomeDiskLow"]);
        assert!(found.iter().all(|alert| alert.has_runbook && alert.since.is_some()), "{found:?}");
        assert_eq!(parse(b"<html>"), None);
        assert_eq!(parse(b"{\"status\":\"success\"}"), None);
    }
}
