//! Time zones by name, and the abbreviations that mean several of them.
//!
//! `CST` is Chicago, Shanghai or Havana. An abuse report that is read in the wrong one of them names the wrong client,
//! so an abbreviation is never guessed.

use jiff::tz::{Offset, TimeZone};

use super::TimeError;

/// Abbreviations that reports use, and zones that use them. The first is the most likely one, no more than that.
const ABBREVIATIONS: [(&str, &[&str]); 52] = [
    ("ACDT", &["Australia/Adelaide"]),
    ("ACST", &["Australia/Adelaide", "Australia/Darwin"]),
    ("ADT", &["America/Halifax"]),
    ("AEDT", &["Australia/Sydney"]),
    ("AEST", &["Australia/Sydney", "Australia/Brisbane"]),
    ("AKDT", &["America/Anchorage"]),
    ("AKST", &["America/Anchorage"]),
    ("AMT", &["America/Manaus", "Asia/Yerevan"]),
    ("ART", &["America/Argentina/Buenos_Aires"]),
    ("AST", &["America/Halifax", "Asia/Riyadh", "America/Puerto_Rico"]),
    ("AWST", &["Australia/Perth"]),
    ("BRT", &["America/Sao_Paulo"]),
    ("BST", &["Europe/London", "Asia/Dhaka", "Pacific/Bougainville"]),
    ("CAT", &["Africa/Maputo"]),
    ("CDT", &["America/Chicago", "America/Havana"]),
    ("CEST", &["Europe/Berlin", "Europe/Paris", "Europe/Rome"]),
    ("CET", &["Europe/Berlin", "Europe/Paris", "Africa/Algiers"]),
    ("CLT", &["America/Santiago"]),
    ("COT", &["America/Bogota"]),
    ("CST", &["America/Chicago", "Asia/Shanghai", "America/Havana"]),
    ("EAT", &["Africa/Nairobi"]),
    ("ECT", &["America/Guayaquil", "Europe/Paris"]),
    ("EDT", &["America/New_York"]),
    ("EEST", &["Europe/Helsinki", "Europe/Athens"]),
    ("EET", &["Europe/Helsinki", "Europe/Athens", "Africa/Cairo"]),
    ("EST", &["America/New_York", "America/Panama", "Australia/Sydney"]),
    ("GST", &["Asia/Dubai", "Atlantic/South_Georgia"]),
    ("HKT", &["Asia/Hong_Kong"]),
    ("HST", &["Pacific/Honolulu"]),
    ("ICT", &["Asia/Bangkok"]),
    ("IDT", &["Asia/Jerusalem"]),
    ("IST", &["Asia/Kolkata", "Europe/Dublin", "Asia/Jerusalem"]),
    ("JST", &["Asia/Tokyo"]),
    ("KST", &["Asia/Seoul"]),
    ("MDT", &["America/Denver"]),
    ("MET", &["Europe/Berlin"]),
    ("MSK", &["Europe/Moscow"]),
    ("MST", &["America/Denver", "America/Phoenix", "Asia/Kuala_Lumpur"]),
    ("NDT", &["America/St_Johns"]),
    ("NST", &["America/St_Johns"]),
    ("NZDT", &["Pacific/Auckland"]),
    ("NZST", &["Pacific/Auckland"]),
    ("PDT", &["America/Los_Angeles"]),
    ("PKT", &["Asia/Karachi"]),
    ("PST", &["America/Los_Angeles", "Asia/Manila"]),
    ("SAST", &["Africa/Johannesburg"]),
    ("SGT", &["Asia/Singapore"]),
    ("SST", &["Pacific/Pago_Pago", "Asia/Singapore"]),
    ("TRT", &["Europe/Istanbul"]),
    ("WEST", &["Europe/Lisbon"]),
    ("WET", &["Europe/Lisbon"]),
    ("WIB", &["Asia/Jakarta"]),
];

/// Names of UTC, in capitals.
const UTC: [&str; 7] = ["Z", "UTC", "GMT", "UT", "UCT", "ZULU", "ETC/UTC"];

/// Is this one of the names of UTC?
pub(super) fn is_utc(name: &str) -> bool {
    UTC.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The zones that use an abbreviation, or nothing if it is none that we know.
pub(super) fn zones_of(abbreviation: &str) -> Option<&'static [&'static str]> {
    ABBREVIATIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(abbreviation)).map(|(_, zones)| *zones)
}

/// A zone as `--tz` takes it: an IANA name, `UTC`, an offset such as `+01:00`, or `local` for this machine's zone.
pub fn zone(name: &str) -> Result<TimeZone, TimeError> {
    let name = name.trim();
    if is_utc(name) {
        return Ok(TimeZone::UTC);
    }
    if name.eq_ignore_ascii_case("local") {
        return TimeZone::try_system().map_err(|_| TimeError::NoLocalZone);
    }
    if let Some(offset) = offset(name) {
        return Ok(TimeZone::fixed(offset));
    }
    if let Some(zones) = zones_of(name) {
        return Err(TimeError::AmbiguousZone { abbreviation: TimeError::cut(name), zones });
    }
    // jiff knows POSIX strings and legacy names such as EST5EDT too; those are not what a user of IANA names means.
    let is_iana = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c));
    match jiff::tz::db().get(name) {
        Ok(zone) if is_iana => Ok(zone),
        _ => Err(TimeError::UnknownZone { name: TimeError::cut(name), like: similar(name) }),
    }
}

/// An offset: `+01:00`, `+0100`, `+01`, `+1`, also behind `UTC` or `GMT`. `UTC+1` means east of Greenwich, as people mean it (POSIX
/// means west).
pub(super) fn offset(text: &str) -> Option<Offset> {
    let behind_name = ["UTC", "GMT"]
        .iter()
        .find_map(|name| text.get(..3).filter(|head| head.eq_ignore_ascii_case(name)).and(text.get(3..)));
    let text = behind_name.unwrap_or(text);
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, text.get(1..)?),
        b'-' => (-1, text.get(1..)?),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "00"),
    };
    let number = |part: &str, longest: usize| {
        let fits = (1..=longest).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| part.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2).filter(|_| minutes.len() == 2)?);
    // +14:00 (Kiribati) and -12:00 are the widest in use.
    if hours > 14 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

/// An IANA zone whose name ends like this one: `berlin` → `Europe/Berlin`.
fn similar(name: &str) -> Option<String> {
    let wanted = name.rsplit('/').next().unwrap_or(name).replace(' ', "_");
    if wanted.len() < 3 {
        return None;
    }
    jiff::tz::db().available().map(|known| known.to_string()).find(|known| {
        known.contains('/') && known.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proposed_zone_exists() {
        for (abbreviation, zones) in ABBREVIATIONS {
            for name in zones {
                assert!(zone(name).is_ok(), "{abbreviation}: {name}");
            }
        }
    }

    #[test]
    fn an_abbreviation_is_refused_with_its_zones() {
        let message = zone("cst").unwrap_err().to_string();
        assert!(message.contains("America/Chicago") && message.contains("Asia/Shanghai"), "{message}");
        assert!(matches!(zone("EST"), Err(TimeError::AmbiguousZone { .. })));
    }

    #[test]
    fn a_city_leads_to_its_zone() {
        let message = zone("berlin").unwrap_err().to_string();
        assert!(message.contains("Europe/Berlin"), "{message}");
        assert!(matches!(zone("EST5EDT,M3.2.0,M11.1.0"), Err(TimeError::UnknownZone { .. })));
    }

    #[test]
    fn offsets_parse_in_the_usual_forms() {
        for text in ["+01:00", "+0100", "+01", "+1", "UTC+1", "gmt+01:00"] {
            assert_eq!(offset(text).map(Offset::seconds), Some(3600), "{text}");
        }
        assert_eq!(offset("-03:30").map(Offset::seconds), Some(-12_600));
        for text in ["", "+", "+24:00", "+1:0", "+01:60", "01:00", "+12345", "+é1"] {
            assert_eq!(offset(text), None, "{text}");
        }
    }
}
