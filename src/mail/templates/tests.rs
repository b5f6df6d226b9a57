use super::*;
use crate::mail::example_details;

fn load(files: &[(&str, &str)]) -> Result<Templates, String> {
    let scratch = tempfile::tempdir().expect("scratch");
    for (name, text) in files {
        let file = scratch.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        std::fs::write(file, text).expect("written");
    }
    let told = |mistakes: Vec<ConfigError>| {
        let lines: Vec<String> = mistakes.into_iter().map(|mistake| mistake.0).collect();
        lines.join("\n").replace(&scratch.path().display().to_string(), "DIR")
    };
    Templates::load(Some(scratch.path()), TimeZone::UTC).map_err(told)
}

fn whole(language: &str) -> Vec<(String, String)> {
    MailKind::ALL
        .iter()
        .map(|kind| (text_name(language, *kind), "Subject: {{ sku }}\n\n{{ product }}\n".into()))
        .collect()
}

#[test]
fn every_embedded_mail_is_whole_in_both_languages() {
    let templates = Templates::load(None, TimeZone::get("Asia/Ho_Chi_Minh").expect("a zone")).expect("no mistakes");
    assert_eq!(templates.languages().collect::<Vec<_>>(), ["en", "vi"]);
    for kind in MailKind::ALL {
        let details = example_details(kind);
        let [en, vi] = ["en", "vi"].map(|language| templates.render(&details, language).expect("rendered"));
        assert_ne!((&en.subject, &en.text), (&vi.subject, &vi.text), "{}", kind.name());
        for (mail, money) in [(en, "2,580.00 EUR"), (vi, "2.580,00 EUR")] {
            let html = mail.html.expect("HTML");
            let of_order = |text: &str| text.contains("FC-7ZU") != kind.is_about_auction();
            assert!(of_order(&mail.subject) && mail.subject.contains("Sneaker \"Đỏ\" <limited>"));
            assert!(of_order(&mail.text) && of_order(&html), "{}", mail.text);
            assert!(!html.contains("<limited>") && html.contains("&lt;limited&gt;"), "escaped: {html}");
            assert!(mail.text.contains("Ann Nguyễn") && mail.text.contains("Shop Example"), "{}", mail.text);
            let asks = kind.asks_for_payment();
            let has_link = mail.text.contains("https://shop.example/pay/00000000-0007-8000-8000-000000000000");
            let has_price = asks || kind.is_about_auction();
            assert_eq!((has_link, mail.text.contains(money) && has_price), (asks, has_price));
            // HTML escapes slashes of values, which every reader undoes.
            assert_eq!(html.contains("href="), asks || kind == MailKind::Outbid, "{html}");
        }
    }
}

#[test]
fn a_directory_replaces_single_templates_and_adds_whole_languages() {
    let mut files = whole("de");
    files.push(("en/paid.txt".into(), "Subject: Got it\n\nWe got {{ amount }}\n".into()));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let templates = load(&files).expect("no mistakes");
    let paid = templates.render(&example_details(MailKind::Paid), "en").expect("rendered");
    assert_eq!((paid.subject.as_str(), paid.text.as_str()), ("Got it", "We got 2,580.00 EUR"));
    assert!(paid.html.is_some_and(|html| html.contains("Thank you")), "the HTML is still the built-in one");
    let german = templates.render(&example_details(MailKind::Won), "de").expect("rendered");
    assert_eq!((german.subject.as_str(), german.html), ("SHOE-42", None));
}

#[test]
fn all_mistakes_are_told_at_once_with_file_and_line() {
    let told = load(&[
        ("en/paid.txt", "Subject: x\n\nline three\n{{ prize }}\n"),
        ("en/won.html", "<p>\n{% if code %}\n</p>\n"),
        ("vi/expired.txt", "no subject\n\ntext\n"),
        ("vi/cancelled.txt", "Subject: {{ code }}\ntext\n"),
        ("en/payed.txt", "Subject: x\n\ny\n"),
        ("vi/lost.txt", "Subject: x\n\n{% if ending == \"cancelled\" %}{{ code }}{% endif %}y\n"),
        ("fr/paid.txt", "Subject: x\n\ny\n"),
        ("Deutsch/paid.txt", "Subject: x\n\ny\n"),
        ("note.txt", ""),
    ])
    .expect_err("refused");
    for expected in [
        "DIR/en/paid.txt, line 4: undefined value",
        "DIR/en/won.html, line ",
        "DIR/vi/expired.txt, line 1: the first line must be `Subject: …`",
        "DIR/vi/cancelled.txt, line 1: an empty line must follow the subject",
        "DIR/vi/lost.txt, line 3: undefined value",
        "DIR/en/payed.txt: no mail has this name",
        "DIR/fr: there is no refunded.txt",
        "DIR/Deutsch: must be a directory with the name of a language",
        "DIR/note.txt: must be a directory",
    ] {
        assert!(told.contains(expected), "{expected} in\n{told}");
    }
    assert_eq!(told.lines().count(), 7 + 8 + 1, "eight of fr are missing: {told}");
}

#[test]
fn a_template_without_an_end_is_refused() {
    let endless = "Subject: x\n\n{% for a in range(9000) %}{% for b in range(9000) %}y{% endfor %}{% endfor %}\n";
    let told = load(&[("en/paid.txt", endless)]).expect_err("refused");
    assert!(told.contains("DIR/en/paid.txt, line 3: "), "{told}");
    assert!(load(&[("en/paid.txt", &"x".repeat(70_000))]).expect_err("refused").contains("65536 bytes"));
}

#[test]
fn nothing_of_a_buyer_breaks_out_of_its_place() {
    let templates = Templates::load(None, TimeZone::UTC).expect("no mistakes");
    let details = MailDetails {
        product: "Shoe\r\nBcc: all@shop.example".into(),
        name: Some("<script>\r\nSubject: x {{ code }} {% if %}".into()),
        ..example_details(MailKind::Paid)
    };
    let mail = templates.render(&details, "en").expect("rendered");
    assert!(!mail.subject.contains(['\r', '\n']), "{:?}", mail.subject);
    assert!(mail.text.contains("<script>  Subject: x {{ code }} {% if %}"), "a value is no template: {}", mail.text);
    assert!(mail.html.is_some_and(|html| !html.contains("<script>")));
}
