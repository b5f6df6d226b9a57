//! Normal forms of identities: the same mailbox, number or address typed in two ways has one form, and one digest.
//!
//! A normal form is compared, never shown or sent to. `src/admission/IDENTITIES.md` has the rules for shops.

use std::borrow::Cow;

use phonenumber::Mode;
use unicode_normalization::UnicodeNormalization;

/// The country of phone numbers that are written without one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PhoneRegion(phonenumber::country::Id);

impl PhoneRegion {
    /// Returns the country of a code of ISO 3166 such as `DE`.
    #[must_use]
    pub fn parse(code: &str) -> Option<PhoneRegion> {
        let code = code.to_ascii_uppercase();
        if code.len() == 2 { code.parse().ok().map(PhoneRegion) } else { None }
    }
}

/// Providers that deliver `name+tag` to `name`.
const IGNORE_TAGS: &[&str] = &[
    "gmail.com",
    "outlook.com",
    "outlook.de",
    "outlook.es",
    "outlook.fr",
    "outlook.it",
    "outlook.jp",
    "hotmail.com",
    "hotmail.co.uk",
    "hotmail.de",
    "hotmail.es",
    "hotmail.fr",
    "hotmail.it",
    "live.com",
    "live.co.uk",
    "live.de",
    "live.fr",
    "live.it",
    "live.nl",
    "msn.com",
    "fastmail.com",
    "fastmail.fm",
    "icloud.com",
    "proton.me",
];

/// Providers that deliver `a.b` to `ab`.
const IGNORE_DOTS: &[&str] = &["gmail.com"];

/// Domains of one provider, whose mailboxes are those of another of its domains.
const SAME_MAILBOXES: &[(&str, &str)] = &[
    ("googlemail.com", "gmail.com"),
    ("me.com", "icloud.com"),
    ("mac.com", "icloud.com"),
    ("protonmail.com", "proton.me"),
    ("protonmail.ch", "proton.me"),
    ("pm.me", "proton.me"),
];

/// Returns a text in NFKC and without differences of case: what differs in one of the cases alone is the same (`ß` and `SS`
/// become `ss`, every sigma `σ`).
fn folded(text: &str) -> String {
    let lower = |c: char| c.to_lowercase();
    let mut text: String = text.nfkc().collect();
    // Folding may take a text out of its normal form, and that form may have letters to fold again.
    for _ in 0..4 {
        let upper = text.chars().flat_map(lower).flat_map(char::to_uppercase);
        let next: String = upper.flat_map(lower).nfkc().collect();
        if next == text {
            break;
        }
        text = next;
    }
    text
}

/// Returns the normal form of an e-mail address.
#[must_use]
pub fn email(text: &str) -> String {
    let text = folded(text);
    let mut address = text.trim();
    // `Ann <ann@shop.example>`
    if let Some((_, inner)) = address.rsplit_once('<') {
        address = inner.trim_end_matches(|c: char| c == '>' || c.is_whitespace()).trim();
    }
    let Some((local, domain)) = address.rsplit_once('@') else { return address.into() };
    let (local, domain) = (local.trim(), domain.trim().trim_end_matches('.'));
    let ascii = idna::domain_to_ascii(domain).ok().filter(|ascii| !ascii.is_empty());
    let mut domain = ascii.map_or(Cow::Borrowed(domain), Cow::Owned);
    if let Some((_, same)) = SAME_MAILBOXES.iter().find(|(other, _)| *other == domain) {
        domain = Cow::Borrowed(same);
    }
    let mut mailbox = Cow::Borrowed(local);
    if IGNORE_TAGS.contains(&&*domain)
        && let Some((name, _)) = local.split_once('+').filter(|(name, _)| !name.trim().is_empty())
    {
        mailbox = Cow::Borrowed(name.trim());
    }
    if IGNORE_DOTS.contains(&&*domain) && mailbox.contains(|c| c != '.') {
        mailbox = Cow::Owned(mailbox.replace('.', ""));
    }
    format!("{mailbox}@{domain}")
}

/// Returns whether a text is one e-mail address in a form that has no second spelling: no list, quotes or comment, and nothing
/// that is not seen. Mail to others may arrive at a mailbox whose normal form differs.
#[must_use]
pub fn is_plain_email(text: &str) -> bool {
    let form = email(text);
    let Some((local, domain)) = form.split_once('@') else { return false };
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !is_unseen(c) && !"\"(),:;<>@[\\]".contains(c);
    !local.is_empty()
        && local.chars().all(is_plain)
        && domain.split('.').all(|label| !label.is_empty())
        && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

/// Returns whether each digit of a phone number is read: one of another script would be left out.
#[must_use]
pub fn is_plain_phone(text: &str) -> bool {
    folded(text).chars().all(|c| digit(c).is_some() || !c.is_numeric())
}

/// Returns true for characters without a shape of their own: soft hyphens, joiners, marks of direction, selectors of variants.
const fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns the value of a decimal digit, also of Arabic, Persian and Devanagari.
fn digit(c: char) -> Option<char> {
    let zero = match c {
        '0'..='9' => return Some(c),
        '\u{660}'..='\u{669}' => 0x660,
        '\u{6f0}'..='\u{6f9}' => 0x6f0,
        '\u{966}'..='\u{96f}' => 0x966,
        _ => return None,
    };
    char::from_digit(u32::from(c).saturating_sub(zero), 10)
}

/// The most digits of a number that is looked up: E.164 has 15.
const DIGITS_MAX: usize = 24;

/// Returns the normal form of a phone number: E.164 where it can be told, else its digits. `region` is the country of a
/// number without one.
#[must_use]
pub fn phone(text: &str, region: Option<PhoneRegion>) -> String {
    let text = folded(text);
    let (mut digits, mut is_international) = (String::new(), false);
    for c in text.chars() {
        match digit(c) {
            Some(digit) => digits.push(digit),
            None if c == '+' && digits.is_empty() => is_international = true,
            // An extension.
            None if digits.len() >= 5 && (c.is_alphabetic() || matches!(c, '#' | ';' | ',')) => break,
            None => {}
        }
    }
    if digits.is_empty() {
        return address(&text);
    }
    if let Some(rest) = digits.strip_prefix("00").filter(|rest| !is_international && !rest.is_empty()) {
        (digits, is_international) = (rest.to_string(), true);
    }
    let number = if is_international { format!("+{digits}") } else { digits };
    if number.len() > DIGITS_MAX {
        return number;
    }
    let region = region.map(|PhoneRegion(id)| id);
    phonenumber::parse(region, &number).map_or(number, |found| found.format().mode(Mode::E164).to_string())
}

/// Returns the normal form of a postal address: letters and digits, without punctuation, line breaks and case.
#[must_use]
pub fn address(text: &str) -> String {
    let text = folded(text);
    let words = text.split(|c: char| !c.is_alphanumeric() && !is_mark(c)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Returns true for marks on a letter (accents that NFKC leaves apart, vowel signs of Indic scripts).
const fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{903}' | '\u{93a}'..='\u{94f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mailbox_has_one_form_and_two_have_two() {
        for (same, form) in [
            (
                &["ann@shop.example", " Ann@Shop.Example ", "ANN@SHOP.EXAMPLE.", "Ann <ann@shop.example>"][..],
                "ann@shop.example",
            ),
            (&["a.n.n@gmail.com", "ann+drop@gmail.com", "A.Nn+1+2@GoogleMail.com", "ａnn@gmail.com"], "ann@gmail.com"),
            (&["ann+x@outlook.com"], "ann@outlook.com"),
            (&["ann+x@hotmail.co.uk"], "ann@hotmail.co.uk"),
            (&["ann+x@live.com"], "ann@live.com"),
            (&["ann+x@fastmail.com"], "ann@fastmail.com"),
            (&["ann+x@me.com", "ann@icloud.com"], "ann@icloud.com"),
            (&["ann+x@protonmail.com", "ann@pm.me", "ann@proton.me"], "ann@proton.me"),
            (&["ann@bücher.example", "ann@BÜCHER.example", "ann@xn--bcher-kva.example"], "ann@xn--bcher-kva.example"),
            (&["straße@shop.example", "STRASSE@shop.example"], "strasse@shop.example"),
        ] {
            for text in same {
                assert_eq!(email(text), form, "{text}");
            }
        }
        // A provider that is not known to ignore them delivers these to different mailboxes.
        for (one, other) in [
            ("ann+1@shop.example", "ann@shop.example"),
            ("a.nn@shop.example", "ann@shop.example"),
            ("a.nn@outlook.com", "ann@outlook.com"),
            ("ann@gmail.com", "ann@outlook.com"),
            ("ann", "ann@shop.example"),
        ] {
            assert_ne!(email(one), email(other));
        }
        assert_eq!((&*email("+x@gmail.com"), &*email("...@gmail.com")), ("+x@gmail.com", "...@gmail.com"));
    }

    #[test]
    fn what_another_spelling_may_deliver_to_the_same_mailbox_is_not_plain() {
        for plain in [
            "ann@shop.example",
            "Ann <ann@shop.example>",
            "a.n+n@gmail.com",
            "ánn@bücher.example",
            "o'neil@shop.example",
        ] {
            assert!(is_plain_email(plain), "{plain}");
        }
        for other in [
            "\"ann\"@gmail.com",
            "ann@gmail.com,",
            "(x)ann@gmail.com",
            "ann(x)@gmail.com",
            "bob@shop.example, ann@gmail.com",
            "an\u{ad}n@gmail.com",
            "an\u{200b}n@gmail.com",
            "an n@gmail.com",
            "ann@@gmail.com",
            "ann@[192.0.2.1]",
            "ann@shop..example",
            "ann",
            "@gmail.com",
            "",
        ] {
            assert!(!is_plain_email(other), "{other:?}");
        }
        assert!(
            is_plain_phone("+49 171 123456-7 ext. 12") && is_plain_phone("٠١٧١ ١٢٣٤٥٦٧") && is_plain_phone("０１７１")
        );
        assert!(!is_plain_phone("+49 171 123456৭") && !is_plain_phone("๐๑๗๑"));
    }

    #[test]
    fn a_number_is_e164_and_without_a_country_it_takes_the_settings() {
        let germany = PhoneRegion::parse("DE");
        assert!(germany.is_some() && PhoneRegion::parse("XX").is_none() && PhoneRegion::parse("").is_none());
        for text in [
            "0171 1234567",
            "+49 171 1234567",
            "0049 171/1234567",
            "(0171) 123-45-67",
            "tel:+49-171-1234567",
            "+49 (0)171 1234567",
            "٠١٧١ ١٢٣٤٥٦٧",
            "０１７１１２３４５６７",
            "0171 1234567 ext. 12",
        ] {
            assert_eq!(phone(text, germany), "+491711234567", "{text}");
        }
        assert_eq!(phone("(415) 555-2671", PhoneRegion::parse("us")), "+14155552671");
        assert_eq!(phone("0912 345 678", PhoneRegion::parse("VN")), "+84912345678");
        assert_eq!(phone("0171 1234567", None), "01711234567", "no country is known: its digits");
        assert_eq!(phone("00 49 171 1234567", None), "+491711234567");
        assert_eq!(phone("12", None), "12");
        assert_eq!(phone("none", None), "none");
        let long = "9".repeat(200);
        assert_eq!(phone(&long, germany), long);
    }

    #[test]
    fn an_address_is_its_letters_and_digits() {
        for text in ["1, High Street\nYork  YO1 7AA", "1 HIGH STREET, YORK. YO1-7AA", "1 Ｈigh Street / York (YO1 7AA)"]
        {
            assert_eq!(address(text), "1 high street york yo1 7aa", "{text}");
        }
        assert_eq!(address("Münchner Straße 5"), address("MÜNCHNER STRASSE 5"));
        assert_eq!(address("Mu\u{308}nchner Straße 5"), address("Münchner Straße 5"));
        assert_ne!(address("1 High Street"), address("11 High Street"));
    }

    /// Texts that are made of pieces which rules are about, and of any characters.
    fn texts(count: u64) -> impl Iterator<Item = String> {
        const PIECES: [&str; 40] = [
            "a",
            "B",
            "ß",
            "İ",
            "ﬁ",
            "é",
            "e\u{301}",
            ".",
            "+",
            "@",
            "@gmail.com",
            "@googlemail.com",
            "@bücher.example",
            "<",
            ">",
            " ",
            "\n",
            "0",
            "00",
            "49",
            "171",
            "1234567",
            "+49",
            "(0)",
            "ext",
            "#",
            "٣",
            "Ｚ",
            "ǅ",
            "ᾳ",
            "Σ",
            "ς",
            "\u{345}",
            "@xn--bcher-kva.example",
            "xn--",
            "@me.com",
            "\u{200d}",
            "क\u{93f}",
            "-",
            ",",
        ];
        (0..count).map(|seed| {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed;
            let mut next = || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random
            };
            let length = next() % 9;
            let piece = |number: u64| match usize::try_from(number % 60).unwrap_or(0) {
                index if index < PIECES.len() => PIECES[index].to_string(),
                _ => char::from_u32(u32::try_from(number >> 32).unwrap_or(0) % 0x1_1000).unwrap_or('x').to_string(),
            };
            (0..length).map(|_| piece(next())).collect()
        })
    }

    #[test]
    fn a_normal_form_is_its_own_normal_form() {
        let regions = [None, PhoneRegion::parse("DE"), PhoneRegion::parse("US"), PhoneRegion::parse("IT")];
        let count = if cfg!(debug_assertions) { 4000 } else { 100_000 };
        for text in texts(count) {
            let once = email(&text);
            assert_eq!(email(&once), once, "e-mail {text:?}");
            let once = address(&text);
            assert_eq!(address(&once), once, "address {text:?}");
            for region in regions {
                let once = phone(&text, region);
                assert_eq!(phone(&once, region), once, "phone {text:?} in {region:?}");
            }
        }
    }

    #[test]
    fn case_spaces_and_width_never_make_another_identity() {
        for text in texts(if cfg!(debug_assertions) { 2000 } else { 50_000 }) {
            if text.chars().any(|c| c.is_control() && c != '\n') {
                continue;
            }
            let padded = format!("  {text}\u{3000}");
            assert_eq!(email(&padded), email(&text), "{text:?}");
            assert_eq!(address(&padded), address(&text), "{text:?}");
        }
    }
}
