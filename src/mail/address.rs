//! Addresses of buyers. They arrive unchecked: a contact is any text.

use lettre::Address;

/// Longest address, in bytes (RFC 5321, 4.5.3.1.3, without the angle brackets).
const ADDRESS_BYTES_MAX: usize = 254;

/// Returns the address in a buyer's text, its domain as DNS has it. `None` if no mail can go there: then nothing of the text
/// reaches a header or a command.
#[must_use]
pub fn mail_address(text: &str) -> Option<Address> {
    let text = text.trim();
    // No line break, and nothing that ends the address in a command or a header.
    let is_plain =
        |character: char| !character.is_control() && !character.is_whitespace() && !"<>,;".contains(character);
    if text.len() > ADDRESS_BYTES_MAX || !text.chars().all(is_plain) {
        return None;
    }
    let (local, domain) = text.rsplit_once('@')?;
    let domain = idna::domain_to_ascii(domain).ok().filter(|domain| domain.contains('.') && !domain.ends_with('.'))?;
    Address::new(local, domain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for (text, expected) in [
            ("ann@shop.example", "ann@shop.example"),
            ("  ann@shop.example ", "ann@shop.example"),
            ("ann+drop@Shop.Example", "ann+drop@shop.example"),
            ("o'brien@shop.example", "o'brien@shop.example"),
            ("ann@bücher.example", "ann@xn--bcher-kva.example"),
            ("nguyễn@thư.example", "nguyễn@xn--th-tfb.example"),
        ] {
            let address = mail_address(text);
            // The punycode of one name is the library's business; its form is ours.
            let found = address.as_ref().map(ToString::to_string);
            let found = found.as_deref().expect(text);
            assert_eq!(found.split_once('@').expect("an address").0, expected.split_once('@').expect("an address").0);
            assert!(found.split_once('@').expect("an address").1.is_ascii(), "{found}");
        }
    }

    #[test]
    fn what_could_end_a_header_or_a_command_is_no_address() {
        for text in [
            "",
            "ann",
            "@shop.example",
            "ann@",
            "ann@localhost",
            "ann@shop.example\r\nBcc: all@shop.example",
            "ann\r\n@shop.example",
            "ann@shop.example\nRCPT TO:<eve@shop.example>",
            "ann@shop.example>",
            "<ann@shop.example>",
            "Ann <ann@shop.example>",
            "ann@shop.example, eve@shop.example",
            "ann@shop.example;eve@shop.example",
            "\"ann\r\n\"@shop.example",
            "\"a b\"@shop.example",
            "ann@shop.example\0",
            "ann\u{85}@shop.example",
            "ann\u{2028}@shop.example",
            "ann@shop..example",
            "ann@shop.example.",
        ] {
            assert_eq!(mail_address(text), None, "{text:?}");
        }
        assert_eq!(mail_address(&format!("{}@shop.example", "a".repeat(300))), None);
    }
}
