//! What the flags of MQTT 5.0 mean: properties, encoded once, and the will.

use anyhow::{Context, Result, ensure};
use mqtt_wire::packet::RetainHandling;
use mqtt_wire::{PropertiesBuf, Property, QoS, SubscribeOptions, TopicName, Version};

use crate::cli::mqtt5::{ConnectArgs, MessageArgs, SubscribeArgs};

/// What the clients say in CONNECT beside who they are.
#[derive(Debug, Default)]
pub(crate) struct ConnectExtras {
    pub(crate) properties: PropertiesBuf,
    pub(crate) will: Option<WillSettings>,
}

/// The message that the server publishes when a client is lost.
#[derive(Debug)]
pub(crate) struct WillSettings {
    /// Template.
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: PropertiesBuf,
}

type Pairs = [(String, String)];

impl ConnectExtras {
    /// `user_properties`: those of CONNECT.
    pub(crate) fn new(
        args: &ConnectArgs,
        session_expiry_s: u32,
        user_properties: &Pairs,
        version: Version,
    ) -> Result<Self> {
        let mut properties = PropertiesBuf::new();
        if session_expiry_s > 0 {
            push(&mut properties, "-x", Property::SessionExpiryInterval(session_expiry_s), version)?;
        }
        if let Some(maximum) = args.receive_maximum {
            push(&mut properties, "--receive-maximum", Property::ReceiveMaximum(maximum), version)?;
        }
        push_pairs(&mut properties, "--user-property", user_properties, version)?;
        Ok(Self { properties, will: args.will_topic.as_deref().map(|topic| will(args, topic, version)).transpose()? })
    }
}

fn will(args: &ConnectArgs, topic: &str, version: Version) -> Result<WillSettings> {
    let mut properties = PropertiesBuf::new();
    let all = [
        ("--will-delay", args.will_delay.map(Property::WillDelayInterval)),
        ("--will-expiry", args.will_expiry.map(Property::MessageExpiryInterval)),
        ("--will-content-type", args.will_content_type.as_deref().map(Property::ContentType)),
        ("--will-response-topic", args.will_response_topic.as_deref().map(Property::ResponseTopic)),
    ];
    for (flag, property) in all {
        if let Some(property) = property {
            push(&mut properties, flag, property, version)?;
        }
    }
    push_pairs(&mut properties, "--will-user-property", &args.will_user_properties, version)?;
    Ok(WillSettings {
        topic: topic.to_owned(),
        payload: args.will_message.clone().into_bytes(),
        qos: QoS::from_bits(args.will_qos)?,
        retain: args.will_retain,
        properties,
    })
}

/// The properties of each message.
pub(crate) fn of_messages(args: &MessageArgs, user_properties: &Pairs, version: Version) -> Result<PropertiesBuf> {
    if let Some(topic) = &args.response_topic {
        TopicName::new(topic).with_context(|| format!("--response-topic {topic}"))?;
    }
    ensure!(!args.topic_alias || version == Version::V5, "--topic-alias needs MQTT 5.0: add -V 5, or leave it out");
    let mut properties = PropertiesBuf::new();
    let correlation = args.correlation_data.as_deref().map(str::as_bytes);
    let all = [
        ("--payload-format", args.payload_format.map(Property::PayloadFormatIndicator)),
        ("--message-expiry", args.message_expiry.map(Property::MessageExpiryInterval)),
        ("--content-type", args.content_type.as_deref().map(Property::ContentType)),
        ("--response-topic", args.response_topic.as_deref().map(Property::ResponseTopic)),
        ("--correlation-data", correlation.map(Property::CorrelationData)),
    ];
    for (flag, property) in all {
        if let Some(property) = property {
            push(&mut properties, flag, property, version)?;
        }
    }
    push_pairs(&mut properties, "--user-property", user_properties, version)?;
    Ok(properties)
}

/// The properties of SUBSCRIBE and the options of its filters.
pub(crate) fn of_subscriptions(
    args: &SubscribeArgs,
    qos: QoS,
    user_properties: &Pairs,
    version: Version,
) -> Result<(PropertiesBuf, SubscribeOptions)> {
    let mut properties = PropertiesBuf::new();
    if let Some(identifier) = args.subscription_identifier {
        push(&mut properties, "--subscription-identifier", Property::SubscriptionIdentifier(identifier), version)?;
    }
    push_pairs(&mut properties, "--user-property", user_properties, version)?;
    let options = SubscribeOptions {
        qos,
        no_local: args.no_local,
        retain_as_published: args.retain_as_published,
        retain_handling: match args.retain_handling {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            _ => RetainHandling::DoNotSend,
        },
    };
    let plain = options == SubscribeOptions::with_qos(qos);
    ensure!(plain || version == Version::V5, "subscription options need MQTT 5.0: add -V 5, or leave them out");
    Ok((properties, options))
}

fn push(properties: &mut PropertiesBuf, flag: &str, property: Property, version: Version) -> Result<()> {
    ensure!(version == Version::V5, "{flag} needs MQTT 5.0: add -V 5, or leave it out");
    properties.push(property).with_context(|| flag.to_owned())
}

fn push_pairs(properties: &mut PropertiesBuf, flag: &str, pairs: &Pairs, version: Version) -> Result<()> {
    pairs.iter().try_for_each(|(name, value)| push(properties, flag, Property::UserProperty(name, value), version))
}
