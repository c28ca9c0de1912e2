//! Real conversations through a gateway, each with both ends of the truth: who the client was, and whom the
//! server saw.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};

use unmasq_flow::{Protocol, Timestamp};

use crate::error::Doing;
use crate::random::Random;
use crate::{LabError, Network, PATIENCE, Server, client};

/// One conversation, as both ends know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Which client of the network, from 0.
    pub node: usize,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The client's own endpoint.
    pub client: SocketAddr,
    /// The endpoint that the server saw: the masked one.
    pub masked: SocketAddr,
    /// The server's endpoint.
    pub server: SocketAddr,
    /// When the server saw it first, by the server's log.
    pub at: Timestamp,
}

/// Clients of a [`Network`] that talk to its servers at random. Its conversations stay open until it is
/// dropped.
#[derive(Debug)]
pub struct Traffic {
    network: Network,
    servers: Vec<Server>,
    random: Random,
    /// Held open.
    connections: Vec<TcpStream>,
    sockets: Vec<UdpSocket>,
}

impl Traffic {
    /// Starts servers for TCP (443, 80) and UDP (53, 443) at each of the first `servers` server addresses.
    pub fn new(network: &Network, servers: u8, seed: u64) -> Result<Self, LabError> {
        let mut started = Vec::new();
        for n in 0..servers {
            for (tcp, udp) in [(443, 53), (80, 443)] {
                started.push(Server::tcp(&network.servers, network.server(n, tcp))?);
                started.push(Server::udp(&network.servers, network.server(n, udp))?);
                started.push(Server::tcp(&network.servers, network.server_v6(n, tcp))?);
                started.push(Server::udp(&network.servers, network.server_v6(n, udp))?);
            }
        }
        Ok(Self {
            network: network.clone(),
            servers: started,
            random: Random::new(seed),
            connections: Vec::new(),
            sockets: Vec::new(),
        })
    }

    /// A random client talks to a random server, over IPv4 or IPv6, TCP or UDP.
    pub fn converse(&mut self) -> Result<Conversation, LabError> {
        let server = self.random.below(self.servers.len() as u64) as usize;
        self.converse_with(server)
    }

    /// A random client talks over TCP and IPv4.
    pub fn converse_tcp(&mut self) -> Result<Conversation, LabError> {
        let fitting: Vec<usize> = (0..self.servers.len())
            .filter(|&n| self.servers[n].is_tcp() && self.servers[n].address().is_ipv4())
            .collect();
        let choice = self.random.below(fitting.len() as u64) as usize;
        self.converse_with(fitting[choice])
    }

    /// Ends all conversations: TCP with a RST, so that nothing lingers.
    pub fn hang_up(&mut self) -> Result<(), LabError> {
        self.sockets.clear();
        self.connections.drain(..).try_for_each(client::abort)
    }

    fn converse_with(&mut self, server: usize) -> Result<Conversation, LabError> {
        let server = &self.servers[server];
        let node = self.random.below(self.network.clients.len() as u64) as usize;
        let place = &self.network.clients[node];
        let before = server.seen().len();
        let to = server.address();
        let from = SocketAddr::new(
            if to.is_ipv6() { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) },
            0,
        );
        let (protocol, own) = if server.is_tcp() {
            let connection = client::tcp(place, from, to)?;
            client::talk(&connection)?;
            let own = connection.local_addr();
            self.connections.push(connection);
            (Protocol::TCP, own)
        } else {
            let socket = client::udp(place, from, to)?;
            client::talk_udp(&socket)?;
            let own = socket.local_addr();
            self.sockets.push(socket);
            (Protocol::UDP, own)
        };
        let client = own.doing(|| "asking for a client's own address".into())?;
        // One conversation at a time: what is new in the server's log is this one.
        let seen = server.wait(before + 1, PATIENCE)?[before];
        Ok(Conversation { node, protocol, client, masked: seen.peer, server: to, at: seen.at })
    }
}
