//! The templates of mails: embedded ones in English and Vietnamese, and those of a directory, which replace them or add
//! languages. All are checked at a start: parsed, and rendered with examples.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use minijinja::{Environment, Error, UndefinedBehavior, Value};

use super::details::{MailDetails, MailSubject, examples};
use super::formats;
use super::kind::MailKind;
use crate::config::ConfigError;
use crate::types::money;

/// Bytes of one template.
const TEMPLATE_BYTES_MAX: u64 = 64 * 1024;
/// Languages of a directory.
const LANGUAGES_MAX: usize = 64;
/// Instructions of one rendering: a template that loops ends here.
const FUEL: u64 = 200_000;
/// Characters of a subject.
const SUBJECT_CHARS_MAX: usize = 200;

macro_rules! embedded {
    ($($language:literal: $($name:literal)*;)*) => {
        &[$($(
            (concat!($language, "/", $name, ".txt"), include_str!(concat!("templates/", $language, "/", $name, ".txt"))),
            (concat!($language, "/", $name, ".html"), include_str!(concat!("templates/", $language, "/", $name, ".html"))),
        )*)*]
    };
}

static EMBEDDED: &[(&str, &str)] = embedded! {
    "en": "reserved" "won" "outbid" "lost" "paid" "expired" "cancelled" "refund-due" "refunded";
    "vi": "reserved" "won" "outbid" "lost" "paid" "expired" "cancelled" "refund-due" "refunded";
};

/// A mail in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RenderedMail {
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
}

/// The templates of all languages, checked.
#[derive(Clone, Debug)]
pub struct Templates {
    environment: Environment<'static>,
    languages: BTreeSet<String>,
    zone: TimeZone,
}

impl Templates {
    /// Reads and checks the templates.
    ///
    /// # Errors
    /// All mistakes at once, each with its file and line.
    pub fn load(directory: Option<&Path>, zone: TimeZone) -> Result<Templates, Vec<ConfigError>> {
        let mut sources: BTreeMap<String, (String, String)> = EMBEDDED
            .iter()
            .map(|(name, source)| ((*name).into(), (format!("the built-in template {name}"), (*source).into())))
            .collect();
        let mut mistakes = Vec::new();
        if let Some(directory) = directory {
            read_directory(directory, &mut sources, &mut mistakes);
        }
        let languages: BTreeSet<String> =
            sources.keys().filter_map(|name| name.split_once('/')).map(|(language, _)| language.into()).collect();
        for (language, kind) in languages.iter().flat_map(|language| MailKind::ALL.map(|kind| (language, kind))) {
            if !sources.contains_key(&text_name(language, kind)) {
                let directory = directory.unwrap_or(Path::new("")).display();
                mistakes.push(ConfigError(format!(
                    "{directory}/{language}: there is no {}.txt; a language has every mail",
                    kind.name()
                )));
            }
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        for (name, (_, source)) in &sources {
            if let Err(error) = environment.add_template_owned(name.clone(), source.clone()) {
                mistakes.push(told(&error, name, &sources));
            }
        }
        let templates = Templates { environment, languages, zone };
        for (language, kind) in
            templates.languages.iter().flat_map(|language| MailKind::ALL.map(|kind| (language, kind)))
        {
            mistakes.extend(
                templates.check(kind, language).iter().map(|error| told(error, error.name().unwrap_or(""), &sources)),
            );
        }
        let mut seen = BTreeSet::new();
        mistakes.retain(|mistake| seen.insert(mistake.0.clone()));
        if mistakes.is_empty() { Ok(templates) } else { Err(mistakes) }
    }

    #[must_use]
    pub fn has(&self, language: &str) -> bool {
        self.languages.contains(language)
    }

    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.iter().map(String::as_str)
    }

    /// Renders a mail in a language that [`Templates::has`].
    ///
    /// # Errors
    /// A template fails with these details, although it did not with the examples.
    pub fn render(&self, details: &MailDetails, language: &str) -> Result<RenderedMail, Error> {
        let values = self.values(details, language);
        let text = self.part(&text_name(language, details.kind), &values)?;
        let (subject, text) = split_subject(&text, &text_name(language, details.kind))?;
        let html_name = html_name(language, details.kind);
        // An embedded language has HTML; one of a directory may do without.
        let has_html = self.environment.get_template(&html_name).is_ok();
        let html = has_html.then(|| self.part(&html_name, &values)).transpose()?;
        Ok(RenderedMail { subject, text, html })
    }

    fn part(&self, name: &str, values: &Value) -> Result<String, Error> {
        self.environment.get_template(name)?.render(values.clone())
    }

    /// Renders a mail with its examples.
    fn check(&self, kind: MailKind, language: &str) -> Vec<Error> {
        let mut errors = Vec::new();
        for details in examples(kind) {
            let values = self.values(&details, language);
            let text = text_name(language, kind);
            // A template that could not be parsed is no mistake twice.
            if self.environment.get_template(&text).is_ok() {
                let rendered = self.part(&text, &values).and_then(|rendered| split_subject(&rendered, &text));
                errors.extend(rendered.err());
            }
            let html = html_name(language, kind);
            if self.environment.get_template(&html).is_ok() {
                errors.extend(self.part(&html, &values).err());
            }
        }
        errors
    }

    fn values(&self, details: &MailDetails, language: &str) -> Value {
        let written = |(amount, currency)| money::written(amount, currency, language);
        let instant = |at| formats::instant(at, &self.zone, language);
        let mut values: BTreeMap<&str, Value> = BTreeMap::from([
            ("product", one_line(&details.product).into()),
            ("sku", one_line(&details.sku).into()),
            ("time", instant(details.at).into()),
            ("name", one_line(details.name.as_deref().unwrap_or("")).into()),
            ("shop", one_line(&details.shop).into()),
            ("language", language.into()),
        ]);
        match &details.about {
            MailSubject::Order(order) => values.extend([
                ("code", Value::from(order.code.as_str())),
                ("quantity", order.quantity.into()),
                ("total", written(order.total).into()),
                ("amount", order.amount.map(written).unwrap_or_default().into()),
                ("pay_url", order.pay_url.as_str().into()),
                ("pay_until", instant(order.pay_until).into()),
            ]),
            MailSubject::Auction(auction) => values.extend([
                ("price", Value::from(written(auction.price))),
                ("minimum", written(auction.minimum).into()),
                ("ends", instant(auction.ends_at).into()),
                ("ending", auction.ending().into()),
                ("auction_url", auction.url.as_deref().unwrap_or_default().into()),
            ]),
        }
        Value::from(values)
    }
}

fn text_name(language: &str, kind: MailKind) -> String {
    format!("{language}/{}.txt", kind.name())
}

fn html_name(language: &str, kind: MailKind) -> String {
    format!("{language}/{}.html", kind.name())
}

/// Returns a text without line breaks and other control characters: it may stand in a subject.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Splits a rendered text at its first line, `Subject: …`, and the empty line behind it.
fn split_subject(rendered: &str, name: &str) -> Result<(String, String), Error> {
    let wrong = |detail: &'static str| {
        // An error of the library, so that it is shown as all others are.
        Err(Error::new(minijinja::ErrorKind::InvalidOperation, format!("{name}: {detail}")))
    };
    let Some(rest) = rendered.strip_prefix("Subject:") else {
        return wrong("the first line must be `Subject: …`");
    };
    let (subject, text) = rest.split_once('\n').unwrap_or((rest, ""));
    let subject = one_line(subject.trim());
    let Some(text) = text.strip_prefix('\n').or_else(|| text.strip_prefix("\r\n")) else {
        return wrong("an empty line must follow the subject");
    };
    if subject.is_empty() || subject.chars().count() > SUBJECT_CHARS_MAX {
        return wrong("the subject must have 1 to 200 characters");
    }
    if text.trim().is_empty() {
        return wrong("there is no text after the subject");
    }
    Ok((subject, text.into()))
}

/// Tells a mistake with the file and the line of its template.
fn told(error: &Error, name: &str, sources: &BTreeMap<String, (String, String)>) -> ConfigError {
    let detail =
        error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    // Mistakes of the form of a whole mail carry its name in their detail.
    let (name, detail, line) = match detail.strip_prefix("invalid operation: ").and_then(|rest| rest.split_once(": ")) {
        Some((named, rest)) if sources.contains_key(named) => (named, rest.to_owned(), Some(1)),
        Some(_) | None => (name, detail, error.line()),
    };
    let file = sources.get(name).map_or(name, |(file, _)| file.as_str());
    let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
    ConfigError(format!("{file}, {line}{detail}"))
}

/// Reads `LANGUAGE/NAME.txt` and `LANGUAGE/NAME.html`. Other files are mistakes, because a name that was mistyped would
/// silently change nothing.
fn read_directory(directory: &Path, sources: &mut BTreeMap<String, (String, String)>, mistakes: &mut Vec<ConfigError>) {
    let mut wrong = |path: &Path, what: &str| mistakes.push(ConfigError(format!("{}: {what}", path.display())));
    let folders = match entries(directory) {
        Ok(folders) => folders,
        Err(error) => return wrong(directory, &format!("mail.templates cannot be read: {error}")),
    };
    if folders.len() > LANGUAGES_MAX {
        return wrong(directory, "mail.templates has more than 64 entries");
    }
    for folder in folders {
        let language = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !folder.is_dir() || !is_language(&language) {
            wrong(&folder, "must be a directory with the name of a language, such as `vi` or `pt-BR`");
            continue;
        }
        let files = match entries(&folder) {
            Ok(files) => files,
            Err(error) => {
                wrong(&folder, &error.to_string());
                continue;
            }
        };
        for file in files {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let kind = name.strip_suffix(".txt").or_else(|| name.strip_suffix(".html")).and_then(MailKind::parse);
            if kind.is_none() {
                let names = MailKind::ALL.map(MailKind::name).join(", ");
                wrong(&file, &format!("no mail has this name; there are NAME.txt and NAME.html for {names}"));
                continue;
            }
            match read_template(&file) {
                Ok(source) => {
                    sources.insert(format!("{language}/{name}"), (file.display().to_string(), source));
                }
                Err(what) => wrong(&file, &what),
            }
        }
    }
}

/// Returns the entries of a directory in the order of their names, without hidden ones.
fn entries(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn is_language(name: &str) -> bool {
    let (first, rest) = name.split_once('-').unwrap_or((name, ""));
    (2..=3).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_lowercase())
        && rest.len() <= 16
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn read_template(file: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if !metadata.is_file() || metadata.len() > TEMPLATE_BYTES_MAX {
        return Err(format!("must be a file of at most {TEMPLATE_BYTES_MAX} bytes"));
    }
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "must be UTF-8".into())
}

#[cfg(test)]
mod tests;
