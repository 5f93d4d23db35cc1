//! The two texts that monitoring reads, which differ in how families of counters and facts are named, and their
//! content types. Everything else, escaping included, is prometheus-client's.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::Latencies;
use super::page::Page;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0: what Prometheus asks for.
    OpenMetrics,
    /// Prometheus' older format: for `promtool check metrics` and readers that know no other.
    Text,
}

impl Format {
    /// The format for a request with this `Accept` header: OpenMetrics for those who name it.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Format {
        let named = accept.is_some_and(|accept| accept.to_ascii_lowercase().contains("application/openmetrics-text"));
        if named { Format::OpenMetrics } else { Format::Text }
    }

    /// Its `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Labels of one series.
pub(super) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// Name, without unit and `_total`; what it says; unit.
pub(super) type Family = (&'static str, &'static str, Option<Unit>);

/// Writes families, one after the other.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    to: DescriptorEncoder<'a>,
    format: Format,
}

/// The text of a page.
pub(super) fn write(page: Page, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Sheet { page, format }));
    let mut text = String::new();
    // Only a writer can fail, and a string does not.
    let _ = match format {
        Format::OpenMetrics => encode(&mut text, &registry),
        Format::Text => encode_registry(&mut text, &registry),
    };
    text
}

#[derive(Debug)]
struct Sheet {
    page: Page,
    format: Format,
}

impl Collector for Sheet {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        self.page.write(&mut Writer { to: encoder, format: self.format })
    }
}

impl Writer<'_> {
    /// A family of numbers that only grow. Its name ends in `_total`, which OpenMetrics leaves out of the header.
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
                // Without the suffix, which its name has already.
                Format::Text => to.encode_gauge(&value),
            })?;
        }
        Ok(())
    }

    /// A family of numbers that rise and fall.
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

    /// A family of latencies.
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

    /// A fact: a series of the value 1, whose name ends in `_info`.
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

/// One series of the family. Without labels it has no braces either.
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
