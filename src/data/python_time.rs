//! Dates and times that print like objects of Python's module `datetime`. As in pyarrow, times in nanoseconds
//! become objects of pandas instead.

use jiff::civil::{self, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use dtr_core::jinja::PythonObject;

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;
const NANOSECONDS_PER_DAY: i128 = 86_400 * NANOSECONDS_PER_SECOND;

/// Midnight of 1 January 1970.
const EPOCH: DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);

/// Returns the time that is `nanoseconds` after the epoch, or `None` if its year is not from 1 to 9999.
fn after_epoch(nanoseconds: i128) -> Option<DateTime> {
    let whole = nanoseconds.div_euclid(NANOSECONDS_PER_SECOND);
    let rest = nanoseconds.rem_euclid(NANOSECONDS_PER_SECOND);
    let seconds = EPOCH.checked_add(SignedDuration::from_secs(whole.try_into().ok()?)).ok()?;
    let time = seconds.checked_add(SignedDuration::from_nanos(rest as i64)).ok()?;
    (1..=9999).contains(&time.year()).then_some(time)
}

/// Returns the `datetime.date` that is `days` days after the epoch.
pub(super) fn date(days: i64) -> Option<PythonObject> {
    let date = after_epoch(i128::from(days) * NANOSECONDS_PER_DAY)?.date();
    let (year, month, day) = (date.year(), date.month(), date.day());
    let repr = format!("datetime.date({year}, {month}, {day})");
    let attributes = vec![("year", year.into()), ("month", month.into()), ("day", day.into())];
    Some(PythonObject { attributes, ..PythonObject::new(date.to_string(), repr) })
}

/// Returns the `datetime.datetime` that is `count` times `unit` nanoseconds after the epoch. If `zone` is
/// given, the result is in this time zone. If `unit` is 1, returns the `Timestamp` of pandas.
pub(super) fn datetime(count: i64, unit: i64, zone: Option<&str>) -> Option<PythonObject> {
    let nanoseconds = i128::from(count) * i128::from(unit);
    let zone = match zone.filter(|name| !name.is_empty()) {
        Some(name) => Some(Zone::at(name, nanoseconds)?),
        None => None,
    };
    let offset = zone.as_ref().map_or(0, |zone| zone.offset);
    let local = after_epoch(nanoseconds + i128::from(offset) * NANOSECONDS_PER_SECOND)?;
    let moment = format!("{} {}", local.date(), clock(local.time()));
    let text = match &zone {
        Some(zone) => format!("{moment}{}", zone.offset_text(":")),
        None => moment.clone(),
    };
    let repr = match (unit, &zone) {
        (1, Some(zone)) => format!("Timestamp('{moment}{}', tz='{}')", zone.offset_text(""), zone.name),
        (1, None) => format!("Timestamp('{moment}')"),
        _ => datetime_repr(local, zone.as_ref()),
    };
    let attributes =
        [("year", local.year().into()), ("month", local.month().into()), ("day", local.day().into())];
    let attributes = attributes.into_iter().chain(clock_attributes(local.time())).collect();
    Some(PythonObject { attributes, ..PythonObject::new(text, repr) })
}

/// A time zone and its offset at one moment.
struct Zone {
    name: String,
    /// The offset from UTC, in seconds. It is positive to the east.
    offset: i64,
    /// Python's `repr` of the zone.
    repr: String,
}

impl Zone {
    /// Returns the zone `name`, such as `Europe/Berlin` or `+07:30`, at the moment `nanoseconds` after the
    /// epoch. Returns `None` if the name is unknown, or if the moment is out of range.
    fn at(name: &str, nanoseconds: i128) -> Option<Self> {
        if let Some(offset) = fixed_offset(name).filter(|offset| *offset != 0) {
            let repr =
                format!("datetime.timezone({})", timedelta_repr(i128::from(offset) * NANOSECONDS_PER_SECOND));
            return Some(Self { name: format!("UTC{name}"), offset, repr });
        }
        let name = if fixed_offset(name) == Some(0) { "UTC" } else { name };
        let offset = match name {
            "UTC" => Offset::UTC,
            name => TimeZone::get(name).ok()?.to_offset(Timestamp::from_nanosecond(nanoseconds).ok()?),
        };
        let repr = format!("zoneinfo.ZoneInfo(key='{name}')");
        Some(Self { name: name.to_owned(), offset: offset.seconds().into(), repr })
    }

    /// Returns the offset as hours and minutes, with `separator` between them. Adds the seconds if they are
    /// not 0.
    fn offset_text(&self, separator: &str) -> String {
        let sign = if self.offset < 0 { '-' } else { '+' };
        let [hours, minutes, seconds] =
            [self.offset / 3600, self.offset / 60 % 60, self.offset % 60].map(i64::abs);
        let text = format!("{sign}{hours:02}{separator}{minutes:02}");
        if seconds == 0 { text } else { format!("{text}{separator}{seconds:02}") }
    }
}

/// Parses an offset such as `-07:30` and returns it in seconds.
fn fixed_offset(name: &str) -> Option<i64> {
    let sign = if name.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = name.strip_prefix(['+', '-'])?.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60))
}

/// Returns the `datetime.time` that is `count` times `unit` nanoseconds after midnight.
pub(super) fn time(count: i64, unit: i64) -> Option<PythonObject> {
    let nanoseconds = count.checked_mul(unit)?;
    let is_valid = (0..NANOSECONDS_PER_DAY).contains(&i128::from(nanoseconds)) && nanoseconds % 1000 == 0;
    let time = after_epoch(nanoseconds.into()).filter(|_| is_valid)?.time();
    let parts = [time.hour().into(), time.minute().into(), time.second().into(), microsecond(time)];
    let repr = format!("datetime.time({})", without_trailing_zeros(&parts, 2));
    let attributes = clock_attributes(time).into();
    Some(PythonObject { attributes, ..PythonObject::new(clock(time), repr) })
}

/// Returns the `datetime.timedelta` of `count` times `unit` nanoseconds. If `unit` is 1, returns the
/// `Timedelta` of pandas.
pub(super) fn timedelta(count: i64, unit: i64) -> Option<PythonObject> {
    let nanoseconds = i128::from(count) * i128::from(unit);
    let days = nanoseconds.div_euclid(NANOSECONDS_PER_DAY);
    let time = after_epoch(nanoseconds.rem_euclid(NANOSECONDS_PER_DAY))?.time();
    let clock = clock(time);
    let (text, repr) = if unit == 1 {
        let sign = if days < 0 { "+" } else { "" };
        let text = format!("{days} days {sign}{clock}");
        (text.clone(), format!("Timedelta('{text}')"))
    } else {
        let clock = clock.strip_prefix('0').unwrap_or(&clock);
        let text = match days {
            0 => clock.to_owned(),
            -1 | 1 => format!("{days} day, {clock}"),
            _ => format!("{days} days, {clock}"),
        };
        (text, timedelta_repr(nanoseconds))
    };
    Some(PythonObject { is_true: nanoseconds != 0, ..PythonObject::new(text, repr) })
}

/// Formats a time of day. A whole number of seconds has no decimal places. Any other number of seconds has
/// six decimal places, or nine if six do not suffice.
fn clock(time: civil::Time) -> String {
    let whole = time.strftime("%H:%M:%S");
    match time.subsec_nanosecond() {
        0 => whole.to_string(),
        nanoseconds if nanoseconds % 1000 == 0 => format!("{whole}.{:06}", nanoseconds / 1000),
        nanoseconds => format!("{whole}.{nanoseconds:09}"),
    }
}

fn microsecond(time: civil::Time) -> i64 {
    i64::from(time.subsec_nanosecond()) / 1000
}

fn clock_attributes(time: civil::Time) -> [(&'static str, i64); 4] {
    [
        ("hour", time.hour().into()),
        ("minute", time.minute().into()),
        ("second", time.second().into()),
        ("microsecond", microsecond(time)),
    ]
}

/// Joins `parts` with commas. Leaves out the last parts if they are 0, but keeps at least `min_length` parts.
fn without_trailing_zeros(parts: &[i64], min_length: usize) -> String {
    let length = parts.iter().rposition(|part| *part != 0).map_or(0, |last| last + 1).max(min_length);
    parts[..length].iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}

fn datetime_repr(local: DateTime, zone: Option<&Zone>) -> String {
    let time = local.time();
    let date = [local.year().into(), local.month().into(), local.day().into()];
    let clock = [time.hour().into(), time.minute().into(), time.second().into(), microsecond(time)];
    let parts = without_trailing_zeros(&[&date[..], &clock].concat(), 5);
    let zone = zone.map(|zone| format!(", tzinfo={}", zone.repr)).unwrap_or_default();
    format!("datetime.datetime({parts}{zone})")
}

fn timedelta_repr(nanoseconds: i128) -> String {
    let rest = nanoseconds.rem_euclid(NANOSECONDS_PER_DAY);
    let parts = [
        ("days", nanoseconds.div_euclid(NANOSECONDS_PER_DAY)),
        ("seconds", rest / NANOSECONDS_PER_SECOND),
        ("microseconds", rest % NANOSECONDS_PER_SECOND / 1000),
    ];
    let named = parts.iter().filter(|(_, count)| *count != 0).map(|(name, count)| format!("{name}={count}"));
    let named = named.collect::<Vec<_>>().join(", ");
    format!("datetime.timedelta({})", if named.is_empty() { "0" } else { &named })
}
