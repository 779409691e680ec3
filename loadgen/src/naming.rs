//! Client ids and topics, formed as emqtt_bench forms them.

use pacer::rng::mix;

use crate::identity::Identity;

/// How client ids are made.
#[derive(Debug, Clone)]
pub(crate) struct ClientIds {
    /// `conn`, `sub` or `pub`.
    pub(crate) role: &'static str,
    /// `--prefix`.
    pub(crate) prefix: Option<String>,
    /// `--shortids`.
    pub(crate) short: bool,
    /// This host's name, used where a client has no source address of its own.
    pub(crate) host_name: String,
    /// Decides the random part.
    pub(crate) seed: u64,
}

impl ClientIds {
    /// The id of client `number`. `source` is its source address when the user gave any.
    pub(crate) fn id(&self, number: u32, source: Option<&str>) -> String {
        let role = self.role;
        match (self.short, self.prefix.as_deref().filter(|prefix| !prefix.is_empty())) {
            (true, prefix) => format!("{}{number}", prefix.unwrap_or_default()),
            (false, Some(prefix)) => format!("{prefix}_bench_{role}_{number}"),
            (false, None) => {
                let random = mix(self.seed ^ mix(u64::from(number))) as u32;
                format!("{}_bench_{role}_{random}_{number}", source.unwrap_or(&self.host_name))
            }
        }
    }
}

/// What the variables of a topic stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variables<'a> {
    /// `%i`.
    pub(crate) number: u32,
    /// `%c`.
    pub(crate) client_id: &'a str,
    /// `%u`; stays as it is without a user name, as in emqtt_bench.
    pub(crate) user_name: Option<&'a str>,
}

impl<'a> Variables<'a> {
    /// Those of client `number`.
    pub(crate) fn of(number: u32, identity: &'a Identity) -> Self {
        Self { number, client_id: &identity.client_id, user_name: identity.user_name.as_deref() }
    }
}

/// Replaces `%i`, `%c` and `%u`.
pub(crate) fn topic(template: &str, variables: Variables) -> String {
    let text = template.replace("%i", &variables.number.to_string()).replace("%c", variables.client_id);
    match variables.user_name {
        Some(user_name) => text.replace("%u", user_name),
        None => text,
    }
}

/// Whether a topic has to be made anew for each message.
pub(crate) fn is_numbered(template: &str) -> bool {
    template.contains(MESSAGE_NUMBER)
}

/// Replaces `%s` by the number of the message, from 1.
pub(crate) fn numbered_topic(template: &str, sequence: u32) -> String {
    template.replace(MESSAGE_NUMBER, &(u64::from(sequence) + 1).to_string())
}

const MESSAGE_NUMBER: &str = "%s";

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(prefix: Option<&str>, short: bool) -> ClientIds {
        ClientIds { role: "pub", prefix: prefix.map(str::to_owned), short, host_name: "tester".to_owned(), seed: 1 }
    }

    #[test]
    fn ids_have_the_four_forms_of_emqtt_bench() {
        let random = ids(None, false).id(7, Some("172.28.130.111"));
        let middle = random.strip_prefix("172.28.130.111_bench_pub_").and_then(|rest| rest.strip_suffix("_7")).unwrap();
        assert!(middle.parse::<u32>().is_ok(), "{random}");
        assert!(ids(None, false).id(7, None).starts_with("tester_bench_pub_"));
        assert_eq!(ids(Some("site"), false).id(7, Some("10.0.0.1")), "site_bench_pub_7");
        assert_eq!(ids(None, true).id(7, None), "7");
        assert_eq!(ids(Some("d"), true).id(7, None), "d7");
    }

    #[test]
    fn topics_take_their_variables() {
        let variables = Variables { number: 3, client_id: "c3", user_name: None };
        assert_eq!(topic("bench/nn/%i", variables), "bench/nn/3");
        assert_eq!(topic("%u/%c/%s", variables), "%u/c3/%s");
        assert_eq!(topic("%u/%c", Variables { user_name: Some("ann"), ..variables }), "ann/c3");
        assert!(is_numbered("a/%s") && !is_numbered("a/%i"));
        assert_eq!(numbered_topic("a/%s", 0), "a/1");
    }
}
