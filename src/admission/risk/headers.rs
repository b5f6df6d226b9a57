//! The signal `odd_headers`: what browsers send and how it fits together.
//!
//! Only what every version of a browser since 2021 does is expected. Client hints and `Sec-Fetch-*` come over HTTPS only, so
//! they are expected only where the shop's public URL is one.

/// The headers of a request that tell of a browser. Each is absent, or its first line.
#[derive(Clone, Copy, Default, Debug)]
pub struct BrowserHeaders<'request> {
    pub user_agent: &'request [u8],
    pub accept_language: Option<&'request [u8]>,
    pub sec_fetch_site: Option<&'request [u8]>,
    pub sec_fetch_mode: Option<&'request [u8]>,
    /// `Sec-CH-UA`: the brands and versions of a Chromium browser.
    pub brands: Option<&'request [u8]>,
    /// `Sec-CH-UA-Mobile`: `?1` on a telephone.
    pub mobile: Option<&'request [u8]>,
    /// `Sec-CH-UA-Platform`: the operating system in quotes.
    pub platform: Option<&'request [u8]>,
    /// True if clients reach the shop over HTTPS.
    pub is_secure: bool,
}

/// The first version of Chromium of which client hints are expected, and of Firefox of which `Sec-Fetch-*` is.
const EXPECTED_SINCE: u32 = 90;
const SITES: [&[u8]; 4] = [b"same-origin", b"same-site", b"cross-site", b"none"];

/// Returns whether headers are missing that the named browser sends, or contradict it. A program that names itself is not odd.
#[must_use]
pub fn are_odd(headers: &BrowserHeaders<'_>) -> bool {
    let agent = headers.user_agent;
    if agent.is_empty() || contains(agent, b"HeadlessChrome") {
        return true;
    }
    if !agent.starts_with(b"Mozilla/") {
        return headers.brands.is_some();
    }
    let chromium = if contains(agent, b"CriOS/") { None } else { version_after(agent, b"Chrome/") };
    headers.accept_language.is_none_or(<[u8]>::is_empty)
        || lacks_sec_fetch(headers, chromium)
        || contradicts_hints(headers, chromium)
}

fn lacks_sec_fetch(headers: &BrowserHeaders<'_>, chromium: Option<u32>) -> bool {
    let is_known = |site: &[u8]| SITES.contains(&site);
    match headers.sec_fetch_site {
        Some(site) => !is_known(site) || headers.sec_fetch_mode.is_none(),
        None => {
            let version = chromium.or_else(|| version_after(headers.user_agent, b"Firefox/"));
            headers.is_secure && version.is_some_and(|version| version >= EXPECTED_SINCE)
        }
    }
}

/// Returns whether client hints are missing, are another browser's, or name another system than the user agent does.
fn contradicts_hints(headers: &BrowserHeaders<'_>, chromium: Option<u32>) -> bool {
    let agent = headers.user_agent;
    let (Some(brands), Some(version)) = (headers.brands, chromium) else {
        // Views in apps send no hints.
        let expects = headers.is_secure && !contains(agent, b"; wv)");
        let is_missing = chromium.is_some_and(|version| expects && version >= EXPECTED_SINCE);
        return headers.brands.is_some() || is_missing;
    };
    let is_of_phone = contains(agent, b"Mobile");
    let system = match headers.platform {
        Some(b"\"Windows\"") => Some(&b"Windows"[..]),
        Some(b"\"macOS\"") => Some(&b"Mac OS X"[..]),
        Some(_) | None => None,
    };
    !contains(brands, format!("v=\"{version}\"").as_bytes())
        || headers.mobile.is_some_and(|mobile| (mobile == b"?1") != is_of_phone)
        || system.is_some_and(|system| !contains(agent, system))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Returns the number that follows a word.
fn version_after(agent: &[u8], word: &[u8]) -> Option<u32> {
    let at = agent.windows(word.len()).position(|window| window == word)?;
    let digits = agent.get(at.checked_add(word.len())?..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}
