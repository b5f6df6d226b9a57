//! The files that pages load, over real sockets.

use crate::http::{call, serve};
use firstcome::web::assets;

#[test]
fn files_of_pages_are_compressed_and_kept_for_ever_on_both_listeners() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let (public, admin) = (server.0.server.public_address, server.0.server.admin_address);
    let path = assets::path("storefront.css");
    let asset = assets::named(path.trim_start_matches("/assets/")).expect("it is there");
    for (address, accepts, coding, length) in [
        (public, "gzip, deflate, br", Some("br"), asset.brotli.len()),
        (public, "gzip", Some("gzip"), asset.gzip.len()),
        (admin, "br;q=0.5", Some("br"), asset.brotli.len()),
        (public, "identity", None, asset.plain.len()),
        (admin, "br;q=0", None, asset.plain.len()),
    ] {
        let got = call(address, "HEAD", &path, &format!("Accept-Encoding: {accepts}\r\n"), "");
        assert_eq!(got.status, 200, "{}", got.text);
        assert_eq!(got.headers.get("content-encoding").map(String::as_str), coding, "{accepts}");
        assert_eq!(got.headers["content-length"], length.to_string(), "{accepts}");
        assert_eq!(got.headers["content-type"], "text/css; charset=utf-8");
        assert_eq!(got.headers["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(
            (got.headers["vary"].as_str(), got.headers["x-content-type-options"].as_str()),
            ("accept-encoding", "nosniff")
        );
        let known = format!("Accept-Encoding: {accepts}\r\nIf-None-Match: \"x\", {}\r\n", got.headers["etag"]);
        assert_eq!(call(address, "GET", &path, &known, "").status, 304, "{accepts}");
    }
    for other in ["/assets/storefront.css", "/assets/..%2ftable.in", "/assets/x"] {
        assert_eq!(call(public, "GET", other, "", "").status, 404, "{other}");
    }
    server.stop();
}
