//! The files of the pages that browsers load: scripts and style sheets, made by `src/web/app` and embedded with their compressed
//! forms. A file's name has the hash of its bytes, so that a browser may keep it for ever.

include!("dist/table.in");

/// A file that browsers load.
#[derive(Debug)]
pub struct Asset {
    /// The name that pages know it by, such as `storefront.js`.
    pub entry: &'static str,
    /// The name in the path, with the hash of the bytes.
    pub file: &'static str,
    pub media_type: &'static str,
    pub plain: &'static [u8],
    pub brotli: &'static [u8],
    pub gzip: &'static [u8],
}

/// Returns the file of a name in a path.
#[must_use]
pub fn named(file: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.file == file)
}

/// Returns a file that pages of other servers name, so that its name never changes.
#[must_use]
pub fn lasting(entry: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.entry == entry && entry == COMPONENT)
}

/// The web component for shops that have pages of their own.
const COMPONENT: &str = "firstcome-drop.js";

/// Returns the path of what pages know as `entry`.
#[must_use]
pub fn path(entry: &str) -> String {
    let file = ASSETS.iter().find(|asset| asset.entry == entry).map_or("", |asset| asset.file);
    format!("/assets/{file}")
}

/// Returns each language with the JSON of its texts.
#[must_use]
pub const fn languages() -> &'static [(&'static str, &'static str)] {
    LANGUAGES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    #[test]
    fn compressed_forms_are_the_plain_one_and_names_change_with_the_bytes() {
        for asset in ASSETS {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(asset.gzip).read_to_end(&mut text).expect("gzip");
            assert_eq!(text, asset.plain, "{}", asset.file);
            assert!(asset.brotli.len() <= asset.gzip.len(), "{}", asset.file);
            assert_eq!(named(asset.file).map(|found| found.entry), Some(asset.entry));
            assert_eq!(path(asset.entry), format!("/assets/{}", asset.file));
        }
        assert!(named("storefront.js").is_none() && named("../table.in").is_none() && named("").is_none());
    }

    /// The most compressed bytes of all files that one page loads.
    #[test]
    fn pages_stay_within_their_budgets() {
        let bytes = |entries: &[&str]| -> usize {
            entries
                .iter()
                .map(|entry| ASSETS.iter().find(|asset| asset.entry == *entry).expect("an entry").brotli.len())
                .sum()
        };
        for (language, _) in LANGUAGES {
            let texts = format!("texts-{language}.js");
            let storefront = bytes(&["storefront.js", "storefront.css", "solver.js", &texts]);
            assert!(storefront <= 60_000, "storefront in {language}: {storefront} bytes");
        }
        let console = bytes(&["console.js", "console.css"]);
        assert!(console <= 120_000, "console: {console} bytes");
        let component = bytes(&["firstcome-drop.js"]);
        assert!(component <= 19_500, "component: {component} bytes");
    }

    #[test]
    fn scripts_write_amounts_with_the_digits_of_the_server() {
        let script = include_str!("app/shared/words.ts");
        let (_, table) = script.split_once("const DIGITS").expect("the table");
        let mut listed = BTreeMap::new();
        for row in table.lines().skip(1).map_while(|line| line.trim().strip_prefix('[')) {
            let (digits, codes) = row.split_once(", \"").expect("a row");
            let codes = codes.trim_end_matches("\"],").split(' ');
            listed.extend(codes.map(|code| (code.to_string(), digits.parse().expect("digits"))));
        }
        assert!(listed.len() > 20, "{listed:?}");
        let letters = || (b'A'..=b'Z').map(char::from);
        for code in letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}")))) {
            let Some(currency) = crate::types::Currency::new(&code) else { continue };
            let digits = crate::types::money::digits_of(currency);
            assert_eq!(listed.get(&code).copied().unwrap_or(2), digits, "{code}");
        }
    }

    fn texts(json: &str) -> BTreeMap<String, String> {
        serde_json::from_str(json).expect("an object of texts")
    }

    fn placeholders(text: &str) -> Vec<&str> {
        let mut found: Vec<_> =
            text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn every_language_has_every_text_with_the_same_placeholders() {
        let all: Vec<_> = LANGUAGES.iter().map(|(language, json)| (language, texts(json))).collect();
        let (_, english) = all.iter().find(|(language, _)| **language == "en").expect("English");
        assert!(all.iter().any(|(language, _)| **language == "vi"));
        for (language, texts) in &all {
            assert!(texts.keys().eq(english.keys()), "{language}");
            for (key, text) in texts {
                assert!(!text.trim().is_empty(), "{language} {key}");
                assert_eq!(placeholders(text), placeholders(&english[key]), "{language} {key}");
            }
        }
    }
}
