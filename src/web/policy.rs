//! The content security policy of pages with scripts: files of this server and nothing inline, no `eval`, no other host but that
//! of the drops' pictures.

/// Returns the policy of a page that shows pictures of these origins and may stand in frames of those.
#[must_use]
pub fn scripted<'picture, 'frame>(
    pictures: impl IntoIterator<Item = &'picture str>,
    frame_ancestors: impl IntoIterator<Item = &'frame str>,
) -> String {
    let mut origins: Vec<_> = pictures.into_iter().collect();
    origins.sort_unstable();
    origins.dedup();
    let mut policy = String::from(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; \
         form-action 'self'; base-uri 'none'; img-src 'self'",
    );
    for origin in origins {
        policy.push(' ');
        policy.push_str(origin);
    }
    policy.push_str("; frame-ancestors");
    let before = policy.len();
    for origin in frame_ancestors {
        policy.push(' ');
        policy.push_str(origin);
    }
    if policy.len() == before {
        policy.push_str(" 'none'");
    }
    policy
}

/// Returns the origin of a URL in the form of a policy, if it has one that a policy can name.
#[must_use]
pub fn origin_of(url: &str) -> Option<&str> {
    let after_scheme = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let host = after_scheme.split(['/', '?', '#']).next().unwrap_or("");
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if host.is_empty() || host.len() > 253 || !host.chars().all(is_host) {
        return None;
    }
    url.get(..url.len().saturating_sub(after_scheme.len()).saturating_add(host.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_each_origin_once_and_nothing_inline() {
        let policy = scripted(["https://b.example", "https://a.example", "https://b.example"], []);
        assert!(
            policy.contains("img-src 'self' https://a.example https://b.example; frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert!(scripted([], ["https://shop.example"]).ends_with("frame-ancestors https://shop.example"));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_and_never_a_second_source() {
        assert_eq!(origin_of("https://img.example/a.jpg?x=1"), Some("https://img.example"));
        assert_eq!(origin_of("http://127.0.0.1:8080"), Some("http://127.0.0.1:8080"));
        for bad in [
            "",
            "/a.jpg",
            "data:image/png,x",
            "https://",
            "https:///x",
            "https://a;script-src *",
            "https://u@h/x",
            "https://a *",
            "https://*",
        ] {
            assert_eq!(origin_of(bad), None, "{bad}");
        }
    }
}
