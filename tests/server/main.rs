//! Most tests that need a server or the built program, in one program: one crate to compile and to link.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

#[path = "../bidding/mod.rs"]
mod bidding;
#[path = "../http/mod.rs"]
mod http;
#[path = "../mail_sink/mod.rs"]
mod mail_sink;
#[path = "../namespace/mod.rs"]
mod namespace;
#[path = "../peer/mod.rs"]
mod peer;
#[path = "../process/mod.rs"]
mod process;
#[path = "../provider_stub/mod.rs"]
mod provider_stub;
#[path = "../provider_webhooks/mod.rs"]
mod provider_webhooks;
#[path = "../refund_stand_in/mod.rs"]
mod refund_stand_in;
#[path = "../router/mod.rs"]
mod router;
#[path = "../stand_in/mod.rs"]
mod stand_in;
#[path = "../viewed_node/mod.rs"]
mod viewed_node;
#[path = "../webhook_sink/mod.rs"]
mod webhook_sink;
#[path = "../writing/mod.rs"]
mod writing;

mod auctions;
mod backup_restore;
mod backups;
mod bidder_contacts;
mod browsers;
mod buyer_tiers;
mod buyers;
mod capture_auctions;
mod capture_rooms;
mod capture_server;
mod challenges;
mod clocks;
mod compression;
mod console;
mod contacts;
mod contract_reader;
mod disk_fault;
mod door;
mod door_settings;
mod draw_restored;
mod draw_route;
mod draws;
mod early_refunds;
mod explain;
mod few_descriptors;
mod foreign_writes;
mod full_disk_rescue;
mod identity;
mod identity_caps;
mod ladder;
mod linked_files;
mod lists;
mod log_blocked;
mod lost_files;
mod lost_sessions;
mod mail;
mod mail_auctions;
mod mail_kill;
mod mail_privacy;
mod misplaced_files;
mod mixed_crowd;
mod money;
mod node_reads;
mod node_work;
mod operators_disks;
mod operators_files;
mod operators_tokens;
mod operators_words;
mod outbox;
mod outbox_redirects;
mod page_files;
#[cfg(feature = "failpoints")]
mod panics;
mod pauses;
mod payable;
mod payment_sessions;
mod preflight;
mod preflight_plan;
mod provider_events;
mod provider_refunds;
mod provider_refunds_kill;
mod reconcile;
mod remedy;
mod repeat_only;
mod report;
mod report_fairness;
mod risk;
mod room_verbs;
mod rooms;
mod route;
mod route_lists;
mod routes;
mod runbook_readers;
mod rush_pay;
mod sale;
mod secrets;
mod series;
mod service_manager;
mod shutdown;
mod standby;
mod standby_told;
mod tls;
mod top;
mod traces;
#[cfg(feature = "otlp")]
mod traces_otlp;
mod unusable_sessions;
mod verbs;
mod wire_idle;
