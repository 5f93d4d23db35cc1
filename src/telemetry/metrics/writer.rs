//! The two text formats and their content types. The formats differ in the names of counters and infos.
//! prometheus-client does the rest, including escaping.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::histogram::Latencies;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0, which Prometheus requests.
    OpenMetrics,
    /// Prometheus' older text format, for `promtool check metrics` and other readers.
    Text,
}

impl Format {
    /// The format to use for a request with this `Accept` header: OpenMetrics if the header names it.
    pub fn accepted(accept: Option<&str>) -> Format {
        let named = accept.is_some_and(|accept| accept.to_ascii_lowercase().contains("application/openmetrics-text"));
        if named { Format::OpenMetrics } else { Format::Text }
    }

    /// The `Content-Type` of the format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Labels of one series.
pub(super) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// The name without unit and `_total`, the help text, and the unit.
pub(super) type Family = (&'static str, &'static str, Option<Unit>);

/// Writes metric families.
#[derive(Debug)]
pub(super) struct FamilyWriter<'a> {
    to: DescriptorEncoder<'a>,
    format: Format,
}

impl<'a> FamilyWriter<'a> {
    pub(super) fn new(to: DescriptorEncoder<'a>, format: Format) -> FamilyWriter<'a> {
        FamilyWriter { to, format }
    }
}

impl FamilyWriter<'_> {
    /// Writes a counter. The name of its series ends in `_total`. OpenMetrics leaves this out in the lines `# HELP` and
    /// `# TYPE`.
    pub(super) fn counter<'s, V: EncodeCounterValue + EncodeGaugeValue, const N: usize>(
        &mut self,
        (name, help, unit): Family,
        values: impl IntoIterator<Item = (Labels<'s, N>, V)>,
    ) -> fmt::Result {
        let full =
            format!("{name}{}_total", unit.as_ref().map(|unit| format!("_{}", unit.as_str())).unwrap_or_default());
        let mut family = match self.format {
            Format::OpenMetrics => self.to.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?,
            Format::Text => self.to.encode_descriptor(&full, help, None, MetricType::Counter)?,
        };
        for (labels, value) in values {
            series(&mut family, &labels, |to| match self.format {
                Format::OpenMetrics => to.encode_counter::<NoLabelSet, V, u64>(&value, None),
                // Encoded as a gauge, so that no further suffix is added.
                Format::Text => to.encode_gauge(&value),
            })?;
        }
        Ok(())
    }

    /// Writes a gauge.
    pub(super) fn gauge<'s, V: EncodeGaugeValue, const N: usize>(
        &mut self,
        (name, help, unit): Family,
        values: impl IntoIterator<Item = (Labels<'s, N>, V)>,
    ) -> fmt::Result {
        let mut family = self.to.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (labels, value) in values {
            series(&mut family, &labels, |to| to.encode_gauge(&value))?;
        }
        Ok(())
    }

    /// Writes a histogram.
    pub(super) fn histogram<'s, const N: usize>(
        &mut self,
        (name, help, unit): Family,
        values: impl IntoIterator<Item = (Labels<'s, N>, &'s Latencies)>,
    ) -> fmt::Result {
        let mut family = self.to.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        for (labels, read) in values {
            let write = |to: &mut MetricEncoder<'_>| {
                to.encode_histogram::<NoLabelSet>(read.sum, read.count, &read.buckets, None)
            };
            series(&mut family, &labels, write)?;
        }
        Ok(())
    }

    /// Writes an info: a series of value 1 whose name ends in `_info`.
    pub(super) fn info<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_, N>,
    ) -> fmt::Result {
        match self.format {
            Format::OpenMetrics => self.to.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels),
            Format::Text => {
                let full = format!("{name}_info");
                let mut family = self.to.encode_descriptor(&full, help, None, MetricType::Gauge)?;
                series(&mut family, &labels, |to| to.encode_gauge(&1u64))
            }
        }
    }
}

/// Writes one series. A series without labels has no braces.
fn series<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_, N>,
    value: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() { value(family) } else { value(&mut family.encode_family(labels)?) }
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn openmetrics_is_for_those_who_name_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, format) in [
            (Some(prometheus), Format::OpenMetrics),
            (Some("Application/OpenMetrics-Text"), Format::OpenMetrics),
            (Some("*/*"), Format::Text),
            (Some("text/plain"), Format::Text),
            (None, Format::Text),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept:?}");
        }
    }
}
