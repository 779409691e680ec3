//! MQTT 5.0 beyond emqtt_bench, as typed.

use clap::Args;

use super::yes_or_no;

/// What CONNECT carries.
#[derive(Debug, Args)]
#[command(next_help_heading = "CONNECT")]
pub(crate) struct ConnectArgs {
    /// QoS 1 and 2 messages that the client accepts at the same time (MQTT 5.0).
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) receive_maximum: Option<u16>,
    /// User property NAME=VALUE (MQTT 5.0), repeatable: of the messages for pub, of SUBSCRIBE for sub, of CONNECT for conn.
    #[arg(long = "user-property", value_parser = name_and_value)]
    pub(crate) user_properties: Vec<(String, String)>,
    /// Topic of the will; %i is the client's number, %c its client id, %u its user name.
    #[arg(long)]
    pub(crate) will_topic: Option<String>,
    /// Payload of the will.
    #[arg(long, requires = "will_topic", default_value = "")]
    pub(crate) will_message: String,
    /// QoS of the will.
    #[arg(long, requires = "will_topic", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) will_qos: u8,
    /// RETAIN flag of the will.
    #[arg(long, requires = "will_topic")]
    pub(crate) will_retain: bool,
    /// Seconds between the loss of the connection and the will (MQTT 5.0).
    #[arg(long, requires = "will_topic")]
    pub(crate) will_delay: Option<u32>,
    /// Seconds after which the will expires (MQTT 5.0).
    #[arg(long, requires = "will_topic")]
    pub(crate) will_expiry: Option<u32>,
    /// Content type of the will (MQTT 5.0).
    #[arg(long, requires = "will_topic")]
    pub(crate) will_content_type: Option<String>,
    /// Response topic of the will (MQTT 5.0).
    #[arg(long, requires = "will_topic")]
    pub(crate) will_response_topic: Option<String>,
    /// User property NAME=VALUE of the will (MQTT 5.0), repeatable.
    #[arg(long = "will-user-property", requires = "will_topic", value_parser = name_and_value)]
    pub(crate) will_user_properties: Vec<(String, String)>,
}

/// What PUBLISH carries.
#[derive(Debug, Args)]
#[command(next_help_heading = "Messages of MQTT 5.0")]
pub(crate) struct MessageArgs {
    /// Content type.
    #[arg(long)]
    pub(crate) content_type: Option<String>,
    /// Response topic.
    #[arg(long)]
    pub(crate) response_topic: Option<String>,
    /// Correlation data.
    #[arg(long)]
    pub(crate) correlation_data: Option<String>,
    /// Seconds after which a message expires.
    #[arg(long)]
    pub(crate) message_expiry: Option<u32>,
    /// Say that the payload is UTF-8 text (1) or that nothing is known of it (0).
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) payload_format: Option<u8>,
    /// Send the topic once and its alias from then on, where the server allows it.
    #[arg(long)]
    pub(crate) topic_alias: bool,
}

/// What SUBSCRIBE carries.
#[derive(Debug, Args)]
#[command(next_help_heading = "Subscriptions of MQTT 5.0")]
pub(crate) struct SubscribeArgs {
    /// Subscription identifier.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=268_435_455))]
    pub(crate) subscription_identifier: Option<u32>,
    /// Do not receive what the client itself publishes.
    #[arg(long)]
    pub(crate) no_local: bool,
    /// Keep the RETAIN flag as it was published.
    #[arg(long)]
    pub(crate) retain_as_published: bool,
    /// Retained messages: 0 at each subscription, 1 at new ones, 2 never.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) retain_handling: u8,
}

/// Flags of emqtt_bench that change nothing here, so that its command lines run unchanged.
#[derive(Debug, Args)]
#[command(next_help_heading = "Of emqtt_bench, without effect")]
pub(crate) struct LegacyArgs {
    /// Quality-of-experience log: ignored; `latency.hlog` of --run-dir has the distributions.
    #[arg(short = 'Q', long, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) qoe: Option<String>,
    /// Ignored, as --qoe.
    #[arg(long, hide = true)]
    pub(crate) qoelog: Option<String>,
    /// Memory saving of the Erlang runtime: ignored, an idle client is small anyway.
    #[arg(short = 'l', long)]
    pub(crate) lowmem: bool,
    /// Ignored, as --lowmem.
    #[arg(long, hide = true)]
    pub(crate) force_major_gc_interval: Option<u64>,
    /// Erlang distribution: ignored.
    #[arg(short = 'd', long, hide = true)]
    pub(crate) dist: bool,
    /// Ignored: rustls offers what it has, best first.
    #[arg(long, hide = true)]
    pub(crate) signature_algs: Option<String>,
    /// Ignored, as --signature-algs.
    #[arg(long, hide = true)]
    pub(crate) keyex_algs: Option<String>,
    /// Ignored: for QUIC only.
    #[arg(long, hide = true)]
    pub(crate) load_qst: Option<String>,
    /// QUIC is not spoken here: anything but false is refused.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", hide = true)]
    pub(crate) quic: Option<String>,
}

impl LegacyArgs {
    /// The flags that were given.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let all = [
            ("-Q/--qoe", self.qoe.as_deref().is_some_and(|value| value != "false")),
            ("--qoelog", self.qoelog.is_some()),
            ("-l/--lowmem", self.lowmem),
            ("--force-major-gc-interval", self.force_major_gc_interval.is_some()),
            ("-d/--dist", self.dist),
            ("--signature-algs", self.signature_algs.is_some()),
            ("--keyex-algs", self.keyex_algs.is_some()),
            ("--load-qst", self.load_qst.is_some()),
        ];
        all.into_iter().filter_map(|(flag, given)| given.then_some(flag)).collect()
    }
}

/// `-s` of conn and sub.
#[derive(Debug, Args)]
pub(crate) struct ShortIdsArgs {
    /// The same as --shortids.
    #[arg(short = 's', num_args = 0..=1, default_missing_value = "true", value_parser = yes_or_no)]
    pub(crate) s: Option<bool>,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
