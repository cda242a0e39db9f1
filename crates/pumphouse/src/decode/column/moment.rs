//! `Date`, `Date32`, `DateTime` and `DateTime64`: ranges, precision, and numbers where a unit was declared for them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Date32Type, UInt16Type, UInt32Type};
use arrow_array::{
    ArrayRef, Decimal128Array, PrimitiveArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray,
};
use arrow_buffer::NullBuffer;

use super::values::Kind;
use crate::config::settings::EpochUnit;
use crate::decode::decimal::{self, Unfit};
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, number_found, text_found};
use crate::decode::time::{self, Clock, NotATime};
use crate::decode::zone::{NoInstant, Zone};

const DAY_NANOSECONDS: i128 = 86_400_000_000_000;
/// 1900-01-01 and 2299-12-31.
const DATE_32_DAYS: std::ops::RangeInclusive<i32> = -25_567..=120_529;
const DAY_OUTSIDE: &str = "a day outside that range";
/// 1900-01-01 00:00:00 and 2299-12-31 23:59:59 UTC.
const DATE_TIME_64_SECONDS: std::ops::RangeInclusive<i128> = -2_208_988_800..=10_413_791_999;

/// What one kind of moment is; [`Moment`] is the rest.
pub(super) trait Calendar: Send {
    /// What is kept.
    type Native: Copy + Default + Ord + Send;
    /// The moment that a text says.
    fn of_text(&mut self, text: &[u8]) -> Result<Self::Native, Fault>;
    /// The moment that a number says, in units of 10^-`digits` seconds.
    fn of_number(&self, number: &[u8], digits: i32) -> Result<Self::Native, Unfit>;
    /// The Arrow form.
    fn array(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> ArrayRef;
}

/// Moments of one kind, and what a bare number means in it.
pub(super) struct Moment<C> {
    calendar: C,
    epoch: Option<EpochUnit>,
}

impl Moment<Date> {
    pub(super) fn date(epoch: Option<EpochUnit>) -> Self {
        Self { calendar: Date, epoch }
    }
}

impl Moment<Date32> {
    pub(super) fn date32(epoch: Option<EpochUnit>) -> Self {
        Self { calendar: Date32, epoch }
    }
}

impl Moment<DateTime> {
    pub(super) fn date_time(zone: Zone, epoch: Option<EpochUnit>) -> Self {
        Self { calendar: DateTime { clock: Clock::new(zone) }, epoch }
    }
}

impl Moment<DateTime64> {
    pub(super) fn date_time_64(precision: u8, zone: Zone, epoch: Option<EpochUnit>) -> Self {
        Self { calendar: DateTime64 { precision, clock: Clock::new(zone) }, epoch }
    }
}

impl<C: Calendar> Kind for Moment<C> {
    type Native = C::Native;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Self::Native, Fault> {
        match reader.peek() {
            b'"' => self.calendar.of_text(reader.text()?),
            b'0'..=b'9' | b'-' => {
                let number = reader.number()?.text;
                let Some(unit) = self.epoch else { return Err(unit_undeclared(number)) };
                let moment = self.calendar.of_number(number, digits_of(unit));
                moment.map_err(|unfit| Fault::new(unfit.code(), number_found(number)))
            }
            _ => Err(reader.misfit()),
        }
    }

    fn placeholder(&self) -> Self::Native {
        Self::Native::default()
    }

    fn order(left: Self::Native, right: Self::Native) -> Ordering {
        left.cmp(&right)
    }

    fn array(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        self.calendar.array(values, nulls)
    }
}

/// Days from 1970-01-01 to 2149-06-06.
pub(super) struct Date;

impl Calendar for Date {
    type Native = u16;

    fn of_text(&mut self, text: &[u8]) -> Result<u16, Fault> {
        u16::try_from(days_of_text(text)?).map_err(|_| Fault::new(Code::OutOfRange, DAY_OUTSIDE))
    }

    fn of_number(&self, number: &[u8], digits: i32) -> Result<u16, Unfit> {
        u16::try_from(days_of_number(number, digits)?).map_err(|_| Unfit::OutOfRange)
    }

    fn array(&self, values: Vec<u16>, nulls: Option<NullBuffer>) -> ArrayRef {
        primitive::<UInt16Type>(values, nulls)
    }
}

/// Days from 1900-01-01 to 2299-12-31.
pub(super) struct Date32;

impl Calendar for Date32 {
    type Native = i32;

    fn of_text(&mut self, text: &[u8]) -> Result<i32, Fault> {
        let days = i128::from(days_of_text(text)?);
        day_32(days).ok_or_else(|| Fault::new(Code::OutOfRange, DAY_OUTSIDE))
    }

    fn of_number(&self, number: &[u8], digits: i32) -> Result<i32, Unfit> {
        day_32(days_of_number(number, digits)?).ok_or(Unfit::OutOfRange)
    }

    fn array(&self, values: Vec<i32>, nulls: Option<NullBuffer>) -> ArrayRef {
        primitive::<Date32Type>(values, nulls)
    }
}

fn day_32(days: i128) -> Option<i32> {
    i32::try_from(days).ok().filter(|days| DATE_32_DAYS.contains(days))
}

fn days_of_text(text: &[u8]) -> Result<i64, Fault> {
    time::days_in(text).map_err(|reason| no_time(text, reason, "YYYY-MM-DD"))
}

fn days_of_number(number: &[u8], digits: i32) -> Result<i128, Unfit> {
    let nanoseconds = decimal::scaled_128(number, decimal::PRECISION_MAX_128, 9 - digits)?;
    if nanoseconds % DAY_NANOSECONDS != 0 {
        return Err(Unfit::PrecisionLost);
    }
    Ok(nanoseconds / DAY_NANOSECONDS)
}

/// Seconds from 1970 to 2106.
pub(super) struct DateTime {
    clock: Clock,
}

impl Calendar for DateTime {
    type Native = u32;

    fn of_text(&mut self, text: &[u8]) -> Result<u32, Fault> {
        let instant = self.clock.instant_in(text).map_err(|reason| no_time(text, reason, TIME_FORM))?;
        time::scaled_fraction(instant.fraction, 0).map_err(|_| fraction_lost(instant.fraction))?;
        u32::try_from(instant.seconds).map_err(|_| Fault::new(Code::OutOfRange, "a time outside that range"))
    }

    fn of_number(&self, number: &[u8], digits: i32) -> Result<u32, Unfit> {
        let seconds = decimal::scaled_128(number, decimal::PRECISION_MAX_128, -digits)?;
        u32::try_from(seconds).map_err(|_| Unfit::OutOfRange)
    }

    fn array(&self, values: Vec<u32>, nulls: Option<NullBuffer>) -> ArrayRef {
        primitive::<UInt32Type>(values, nulls)
    }
}

/// Ticks of 10^-precision seconds from 1900 to 2299, and to 2262 for nanoseconds.
pub(super) struct DateTime64 {
    precision: u8,
    clock: Clock,
}

impl DateTime64 {
    fn ticks(&self, seconds: i64, fraction: i64) -> Option<i64> {
        if !DATE_TIME_64_SECONDS.contains(&i128::from(seconds)) {
            return None;
        }
        seconds.checked_mul(10_i64.pow(u32::from(self.precision)))?.checked_add(fraction)
    }
}

impl Calendar for DateTime64 {
    type Native = i64;

    fn of_text(&mut self, text: &[u8]) -> Result<i64, Fault> {
        let instant = self.clock.instant_in(text).map_err(|reason| no_time(text, reason, TIME_FORM))?;
        let fraction = time::scaled_fraction(instant.fraction, self.precision);
        let fraction = fraction.map_err(|_| fraction_lost(instant.fraction))?;
        self.ticks(instant.seconds, fraction)
            .ok_or_else(|| Fault::new(Code::OutOfRange, "a time outside that range"))
    }

    fn of_number(&self, number: &[u8], digits: i32) -> Result<i64, Unfit> {
        let scale = i32::from(self.precision) - digits;
        let ticks = decimal::scaled_128(number, decimal::PRECISION_MAX_128, scale)?;
        let seconds = ticks.div_euclid(10_i128.pow(u32::from(self.precision)));
        if !DATE_TIME_64_SECONDS.contains(&seconds) {
            return Err(Unfit::OutOfRange);
        }
        i64::try_from(ticks).map_err(|_| Unfit::OutOfRange)
    }

    fn array(&self, values: Vec<i64>, nulls: Option<NullBuffer>) -> ArrayRef {
        match self.precision {
            0 => Arc::new(TimestampSecondArray::new(values.into(), nulls)),
            3 => Arc::new(TimestampMillisecondArray::new(values.into(), nulls)),
            6 => Arc::new(TimestampMicrosecondArray::new(values.into(), nulls)),
            9 => Arc::new(TimestampNanosecondArray::new(values.into(), nulls)),
            // Arrow has no such unit, and the next finer one ends in 2262: seconds with a point instead.
            precision => {
                let values = values.into_iter().map(i128::from).collect::<Vec<_>>();
                let scale = i8::try_from(precision).expect("a precision is at most 9");
                let array = Decimal128Array::new(values.into(), nulls).with_precision_and_scale(38, scale);
                Arc::new(array.expect("64 bits are at most 19 digits"))
            }
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

fn digits_of(unit: EpochUnit) -> i32 {
    match unit {
        EpochUnit::Seconds => 0,
        EpochUnit::Milliseconds => 3,
        EpochUnit::Microseconds => 6,
        EpochUnit::Nanoseconds => 9,
    }
}

const TIME_FORM: &str = "YYYY-MM-DDThh:mm:ss[.fff][Z|±hh:mm]";

#[cold]
fn no_time(text: &[u8], reason: NotATime, form: &'static str) -> Fault {
    let found: Cow<'static, str> = match reason {
        NotATime::Form => format!("{} in another form than {form}", text_found(text)).into(),
        NotATime::NoSuchDay => "a day that no calendar has".into(),
        NotATime::NoSuchTime => "a time or offset that no clock shows".into(),
        NotATime::LeapSecond => "a leap second, which has no place between its neighbours".into(),
        NotATime::Local(NoInstant::Skipped) => {
            "a local time that the column's zone skips; an offset in the text would say which instant it is"
                .into()
        }
        NotATime::Local(NoInstant::Twice) => {
            "a local time that the column's zone has twice; an offset in the text would say which one".into()
        }
    };
    Fault::new(Code::NotATime, found)
}

#[cold]
fn fraction_lost(fraction: &[u8]) -> Fault {
    Fault::new(Code::PrecisionLost, format!("{} digits of a second's fraction", fraction.len()))
}

#[cold]
fn unit_undeclared(number: &[u8]) -> Fault {
    Fault::expecting(
        Code::UnitUndeclared,
        "a text, since the column declares no unit for numbers (`epoch`)",
        number_found(number),
    )
}
