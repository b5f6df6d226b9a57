//! Clients of the program's own tools (`top`, `preflight`, `remedy`, `wire`, `rush`, `replay`): HTTP and the wire protocol,
//! plain or under TLS, and the check of addresses. Requests to the admin listener carry the
//! operator's token of the variable `FIRSTCOME_TOKEN`.

pub mod http;
pub mod target;
pub mod wire;
