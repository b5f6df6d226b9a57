//! Rows of the outbox: endpoints, and those deliveries that failed. URLs and secrets are here and in no event.

use rusqlite::{Connection, Row, Statement, params};
use serde_json::{Map, Value, json};

use super::private_data::PrivateData;
use crate::engine::endpoints::{OLD_SECRET_MS, before};
use crate::engine::{
    DeliveriesMarked, DeliveriesResent, Endpoint, EndpointCreated, EndpointEvent, EndpointPatch, EndpointPatched, Event,
};
use crate::types::{DeliveryMark, DeliveryState, Seq};

/// Dead letters that are kept per endpoint; then the oldest goes. Its event stays in the audit and can be sent again.
const DEAD_LETTERS_MAX: i64 = 10_000;

/// Writes the rows that events of endpoints make.
pub(super) struct EndpointWriter<'conn> {
    insert: Statement<'conn>,
    patch: Statement<'conn>,
    set_url: Statement<'conn>,
    set_secret: Statement<'conn>,
    delete: Statement<'conn>,
    forget: Statement<'conn>,
    come_to: Statement<'conn>,
    put_delivery: Statement<'conn>,
    end_delivery: Statement<'conn>,
    drop_oldest_dead: Statement<'conn>,
    revive: Statement<'conn>,
    go_back: Statement<'conn>,
}

impl<'conn> EndpointWriter<'conn> {
    pub(super) fn new(connection: &'conn Connection) -> rusqlite::Result<EndpointWriter<'conn>> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(EndpointWriter {
            insert: prepare(
                "INSERT INTO endpoints (id, url, secret, state, events, configured, position, revision, created_at_ms)
                 VALUES (?1, ?2, ?3, 'enabled', ?4, ?5, ?1, 1, ?6)",
            )?,
            patch: prepare(
                "UPDATE endpoints SET state = coalesce(?2, state), events = coalesce(?3, events),
                     revision = revision + 1
                 WHERE id = ?1",
            )?,
            set_url: prepare("UPDATE endpoints SET url = ?2 WHERE id = ?1")?,
            set_secret: prepare(
                "UPDATE endpoints SET old_secret = secret, old_secret_until_ms = ?3, secret = ?2 WHERE id = ?1",
            )?,
            delete: prepare("DELETE FROM endpoints WHERE id = ?1")?,
            forget: prepare("DELETE FROM deliveries WHERE endpoint_id = ?1 AND seq >= ?2")?,
            come_to: prepare("UPDATE endpoints SET position = ?2 WHERE id = ?1")?,
            put_delivery: prepare(
                "INSERT INTO deliveries (endpoint_id, seq, state, attempts, next_at_ms, trouble)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (endpoint_id, seq) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
                     next_at_ms = excluded.next_at_ms, trouble = excluded.trouble",
            )?,
            end_delivery: prepare("DELETE FROM deliveries WHERE endpoint_id = ?1 AND seq = ?2")?,
            drop_oldest_dead: prepare(
                "DELETE FROM deliveries WHERE endpoint_id = ?1 AND state = 'dead' AND seq <= (
                     SELECT seq FROM deliveries WHERE endpoint_id = ?1 AND state = 'dead'
                     ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
            )?,
            revive: prepare(
                "UPDATE deliveries SET state = 'waiting', attempts = 0, next_at_ms = ?3
                 WHERE endpoint_id = ?1 AND seq >= ?2 AND state = 'dead'",
            )?,
            go_back: prepare(
                "UPDATE endpoints SET position = coalesce(?2, position), revision = revision + 1 WHERE id = ?1",
            )?,
        })
    }

    /// Writes what an event changes of an endpoint's rows.
    pub(super) fn record(
        &mut self,
        event: &Event,
        endpoint: Seq,
        body: &EndpointEvent,
        private_data: Option<&PrivateData>,
    ) -> rusqlite::Result<()> {
        let (url, secret) = match private_data {
            Some(PrivateData::Endpoint { url, secret }) => (url.as_ref(), secret.as_ref()),
            Some(
                PrivateData::Order { .. }
                | PrivateData::Award { .. }
                | PrivateData::Bid { .. }
                | PrivateData::BidWithContact { .. }
                | PrivateData::Contact(_)
                | PrivateData::ProviderEvent { .. }
                | PrivateData::Seed { .. }
                | PrivateData::Session { .. }
                | PrivateData::Ticket { .. }
                | PrivateData::Tier { .. },
            )
            | None => (None, None),
        };
        match body {
            EndpointEvent::Created(EndpointCreated { events, configured, .. }) => {
                let (Some(url), Some(secret)) = (url, secret) else {
                    panic!("endpoint {} came without its URL and secret", event.seq)
                };
                let secret = secret.reveal();
                self.insert.execute(params![endpoint, url.reveal(), secret, events, configured, event.at]).map(drop)
            }
            EndpointEvent::Patched(EndpointPatched { patch, .. }) => {
                let state = patch.state.map(|state| state.as_str());
                self.patch.execute(params![endpoint, state, patch.events])?;
                if let Some(url) = url.filter(|_| patch.new_url) {
                    self.set_url.execute(params![endpoint, url.reveal()])?;
                }
                if let Some(secret) = secret.filter(|_| patch.new_secret) {
                    let until = event.at.plus_millis(OLD_SECRET_MS);
                    self.set_secret.execute(params![endpoint, secret.reveal(), until])?;
                }
                Ok(())
            }
            EndpointEvent::Deleted { .. } => {
                self.forget.execute(params![endpoint, Seq::ZERO])?;
                self.delete.execute(params![endpoint]).map(drop)
            }
            EndpointEvent::Marked(DeliveriesMarked { position, marks }) => {
                for mark in marks {
                    self.mark(endpoint, mark)?;
                }
                self.come_to.execute(params![endpoint, position]).map(drop)
            }
            EndpointEvent::Resent(DeliveriesResent { from_seq, dead_only, .. }) => {
                if *dead_only {
                    self.revive.execute(params![endpoint, from_seq, event.at])?;
                } else {
                    self.forget.execute(params![endpoint, from_seq])?;
                }
                let position = (!dead_only).then(|| before(*from_seq));
                self.go_back.execute(params![endpoint, position]).map(drop)
            }
        }
    }

    fn mark(&mut self, endpoint: Seq, mark: &DeliveryMark) -> rusqlite::Result<()> {
        let (state, attempts, next_at, trouble) = match mark.fate {
            DeliveryState::Delivered => return self.end_delivery.execute(params![endpoint, mark.seq]).map(drop),
            DeliveryState::Waiting { attempts, next_at, trouble } => ("waiting", attempts, Some(next_at), trouble),
            DeliveryState::Dead { attempts, trouble } => ("dead", attempts, None, trouble),
        };
        self.put_delivery.execute(params![endpoint, mark.seq, state, attempts, next_at, trouble.code()])?;
        if next_at.is_none() {
            self.drop_oldest_dead.execute(params![endpoint, DEAD_LETTERS_MAX])?;
        }
        Ok(())
    }
}

/// All endpoints, as the engine has them.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<(Seq, Endpoint)>> {
    let mut statement =
        connection.prepare("SELECT id, state, events, configured, position, revision FROM endpoints ORDER BY id")?;
    let of = |row: &Row<'_>| {
        let endpoint = Endpoint {
            state: row.get(1)?,
            events: row.get(2)?,
            configured: row.get(3)?,
            position: row.get(4)?,
            revision: row.get(5)?,
        };
        Ok((row.get(0)?, endpoint))
    };
    statement.query_map([], of)?.collect()
}

/// The audit's detail of an endpoint's event.
pub(super) fn detail(endpoint: Seq, event: &EndpointEvent) -> Value {
    let with_reason = |mut detail: Map<String, Value>, reason: &str| {
        if !reason.is_empty() {
            detail.insert("reason".into(), reason.into());
        }
        Value::Object(detail)
    };
    let mut of_endpoint = Map::from_iter([("endpoint".into(), endpoint.get().into())]);
    match event {
        EndpointEvent::Created(EndpointCreated { events, configured, .. }) => {
            json!({ "events": events.names().collect::<Vec<_>>(), "configured": configured })
        }
        EndpointEvent::Patched(EndpointPatched { patch, reason }) => {
            with_reason(patch_detail(of_endpoint, patch), reason)
        }
        EndpointEvent::Deleted { reason } => with_reason(of_endpoint, reason),
        EndpointEvent::Marked(DeliveriesMarked { position, marks }) => {
            of_endpoint.insert("position".into(), position.get().into());
            if !marks.is_empty() {
                of_endpoint.insert("marks".into(), marks.iter().map(mark_detail).collect());
            }
            Value::Object(of_endpoint)
        }
        EndpointEvent::Resent(DeliveriesResent { from_seq, dead_only, reason }) => {
            of_endpoint.insert("from_seq".into(), from_seq.get().into());
            of_endpoint.insert("dead_only".into(), (*dead_only).into());
            with_reason(of_endpoint, reason)
        }
    }
}

fn patch_detail(mut detail: Map<String, Value>, patch: &EndpointPatch) -> Map<String, Value> {
    if let Some(state) = patch.state {
        detail.insert("state".into(), state.as_str().into());
    }
    if let Some(events) = patch.events {
        detail.insert("events".into(), events.names().collect());
    }
    for (name, is_new) in [("new_url", patch.new_url), ("new_secret", patch.new_secret)] {
        if is_new {
            detail.insert(name.into(), true.into());
        }
    }
    detail
}

fn mark_detail(mark: &DeliveryMark) -> Value {
    let seq = mark.seq.get();
    match mark.fate {
        DeliveryState::Delivered => json!({ "seq": seq, "fate": "delivered" }),
        DeliveryState::Waiting { attempts, next_at, trouble } => json!({
            "seq": seq, "fate": "waiting", "attempts": attempts, "next_at_ms": next_at.get(),
            "trouble": trouble.to_string(),
        }),
        DeliveryState::Dead { attempts, trouble } => {
            json!({ "seq": seq, "fate": "dead", "attempts": attempts, "trouble": trouble.to_string() })
        }
    }
}
