//! The headers of simulated buyers: those that browsers of 2024 and 2025 send with a `fetch` of a shop's page, over HTTPS.

/// An operating system in a browser's headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DeviceSystem {
    Windows,
    MacOs,
    Linux,
    Android,
}

/// The program of a buyer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClientProgram {
    /// Chrome or another browser with its engine: the version, the system, and the brand in its client hints.
    Chromium(u16, DeviceSystem, &'static str),
    /// Safari on an iPhone: the version of iOS, with an underscore in place of the point.
    SafariPhone(&'static str),
    /// Safari on a computer, with its version.
    SafariDesktop(&'static str),
    Firefox(u16, DeviceSystem),
    /// A view within an app on Android, with the model of the telephone.
    WebView(u16, &'static str),
    /// The shop's own app, which names itself.
    App(&'static str),
    /// A library for HTTP that names itself.
    Library(&'static str),
    /// A library for HTTP with the user agent of Chrome, without its other headers.
    Disguised(u16),
}

/// Extensions for privacy that remove what tells of a browser.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeaderChange {
    Unchanged,
    /// The header `Accept-Language` is left out.
    NoLanguage,
}

/// The header lines of a program.
pub(super) fn lines(program: ClientProgram, change: HeaderChange) -> String {
    let mut text = format!("User-Agent: {}\r\n", user_agent(program));
    match program {
        ClientProgram::App(_) | ClientProgram::Library(_) | ClientProgram::Disguised(_) => {
            text.push_str("Accept: */*\r\n");
            return text;
        }
        ClientProgram::Chromium(version, system, brand) => {
            let (mobile, platform) = hints(system);
            text.push_str(&format!(
                "Sec-CH-UA: \"{brand}\";v=\"{version}\", \"Chromium\";v=\"{version}\", \"Not_A Brand\";v=\"24\"\r\n\
                 Sec-CH-UA-Mobile: {mobile}\r\nSec-CH-UA-Platform: \"{platform}\"\r\n"
            ));
        }
        ClientProgram::SafariPhone(_)
        | ClientProgram::SafariDesktop(_)
        | ClientProgram::Firefox(..)
        | ClientProgram::WebView(..) => {}
    }
    text.push_str("Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n");
    match change {
        HeaderChange::Unchanged => text.push_str("Accept-Language: de-DE,de;q=0.9,en;q=0.8\r\n"),
        HeaderChange::NoLanguage => {}
    }
    text
}

/// `Sec-CH-UA-Mobile` and `Sec-CH-UA-Platform` of a system.
const fn hints(system: DeviceSystem) -> (&'static str, &'static str) {
    match system {
        DeviceSystem::Windows => ("?0", "Windows"),
        DeviceSystem::MacOs => ("?0", "macOS"),
        DeviceSystem::Linux => ("?0", "Linux"),
        DeviceSystem::Android => ("?1", "Android"),
    }
}

/// The words of a system in a user agent of Chromium.
const fn system_words(system: DeviceSystem) -> &'static str {
    match system {
        DeviceSystem::Windows => "Windows NT 10.0; Win64; x64",
        DeviceSystem::MacOs => "Macintosh; Intel Mac OS X 10_15_7",
        DeviceSystem::Linux => "X11; Linux x86_64",
        DeviceSystem::Android => "Linux; Android 10; K",
    }
}

fn user_agent(program: ClientProgram) -> String {
    match program {
        ClientProgram::Chromium(version, system, brand) => {
            let mobile = if system == DeviceSystem::Android { " Mobile" } else { "" };
            let edge = if brand == "Microsoft Edge" { format!(" Edg/{version}.0.0.0") } else { String::new() };
            let words = system_words(system);
            format!(
                "Mozilla/5.0 ({words}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0{mobile} Safari/537.36{edge}"
            )
        }
        ClientProgram::SafariPhone(ios) => {
            let version = ios.replace('_', ".");
            format!(
                "Mozilla/5.0 (iPhone; CPU iPhone OS {ios} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{version} Mobile/15E148 Safari/604.1"
            )
        }
        ClientProgram::SafariDesktop(version) => {
            format!(
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{version} Safari/605.1.15"
            )
        }
        ClientProgram::Firefox(version, system) => {
            let words = match system {
                DeviceSystem::Windows => "Windows NT 10.0; Win64; x64",
                DeviceSystem::MacOs => "Macintosh; Intel Mac OS X 10.15",
                DeviceSystem::Linux => "X11; Linux x86_64",
                DeviceSystem::Android => "Android 14; Mobile",
            };
            format!("Mozilla/5.0 ({words}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0")
        }
        ClientProgram::WebView(version, model) => {
            format!(
                "Mozilla/5.0 (Linux; Android 14; {model}; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/{version}.0.0.0 Mobile Safari/537.36"
            )
        }
        ClientProgram::App(name) | ClientProgram::Library(name) => name.to_owned(),
        ClientProgram::Disguised(version) => {
            format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_a_program() {
        let edge =
            lines(ClientProgram::Chromium(131, DeviceSystem::Windows, "Microsoft Edge"), HeaderChange::Unchanged);
        for part in ["Chrome/131.0.0.0 Safari/537.36 Edg/131", "\"Microsoft Edge\";v=\"131\"", "?0", "Accept-Language"]
        {
            assert!(edge.contains(part), "{part}: {edge}");
        }
        let phone = lines(ClientProgram::SafariPhone("18_1"), HeaderChange::NoLanguage);
        assert!(phone.contains("iPhone OS 18_1") && phone.contains("Version/18.1") && !phone.contains("Language"));
        let disguised = lines(ClientProgram::Disguised(120), HeaderChange::Unchanged);
        assert!(disguised.contains("Chrome/120") && !disguised.contains("Sec-"), "{disguised}");
        assert!(edge.lines().all(|line| line.contains(": ")), "{edge}");
    }
}
