#!/bin/bash
# Records the files of all-protocols/ into the folder given. Needs root, and conntrack, ulogd2, natlog, nft, python3.
# Usage: record.sh FOLDER            (once more with KTS=0 for the *-no-timestamps files)
set -e
OUT=$(realpath "${1:?a folder for the files}")
P=import$$
C=$P-c; G=$P-g; S=$P-s
cleanup() {
  for p in $(jobs -p); do kill "$p" 2>/dev/null || true; done
  sleep 0.3
  for n in $C $G $S; do ip netns del $n 2>/dev/null || true; done
}
trap cleanup EXIT
for n in $C $G $S; do ip netns add $n; ip -n $n link set lo up; done
ip link add name c0 netns $C type veth peer name lan netns $G
ip link add name s0 netns $S type veth peer name wan netns $G
ip -n $C addr add 192.168.101.2/24 dev c0; ip -n $C addr add 192.168.101.3/24 dev c0
ip -n $G addr add 192.168.101.1/24 dev lan; ip -n $G addr add 203.0.113.1/24 dev wan
ip -n $S addr add 203.0.113.80/24 dev s0
ip -n $C addr add fd00:101::2/64 dev c0 nodad; ip -n $G addr add fd00:101::1/64 dev lan nodad
ip -n $G addr add 2001:db8::1/64 dev wan nodad; ip -n $S addr add 2001:db8::80/64 dev s0 nodad
for x in "$C c0" "$G lan" "$G wan" "$S s0"; do set -- $x; ip -n $1 link set $2 up; done
ip -n $C route add default via 192.168.101.1; ip -n $C -6 route add default via fd00:101::1
ip netns exec $G sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.netfilter.nf_conntrack_acct=1 net.netfilter.nf_conntrack_timestamp=${KTS:-1} net.netfilter.nf_conntrack_events=1 net.netfilter.nf_conntrack_tcp_timeout_time_wait=1 net.netfilter.nf_conntrack_udp_timeout=2 net.netfilter.nf_conntrack_icmp_timeout=2 net.netfilter.nf_conntrack_icmpv6_timeout=2 net.netfilter.nf_conntrack_generic_timeout=2 net.netfilter.nf_conntrack_gre_timeout=2 net.netfilter.nf_conntrack_udp_timeout_stream=3
ip netns exec $G nft -f - <<'N'
table inet t {
  chain zones { type filter hook prerouting priority raw;
    udp dport 5353 ct zone set 7
    udp dport 5354 ct original zone set 9
  }
  chain marks { type filter hook forward priority mangle;
    tcp dport 8080 ct mark set 0x42
  }
}
table ip nat {
  chain post { type nat hook postrouting priority srcnat;
    oifname wan masquerade
  }
  chain pre { type nat hook prerouting priority dstnat;
    iifname lan ip daddr 203.0.113.1 tcp dport 2222 dnat to 203.0.113.80:8080
  }
}
table ip6 nat {
  chain post { type nat hook postrouting priority srcnat;
    oifname wan masquerade
  }
}
N
cat > $OUT/srv.py <<'PY'
import socket,threading,sys
def tcp(fam,port):
    s=socket.socket(fam); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind(('',port)); s.listen(50)
    while True:
        c,_=s.accept()
        try: c.recv(100); c.send(b'hello'); 
        except OSError: pass
        c.close()
def udp(fam,port):
    s=socket.socket(fam,socket.SOCK_DGRAM); s.bind(('',port))
    while True:
        d,a=s.recvfrom(1000); s.sendto(d,a)
for t,f,p in ((tcp,socket.AF_INET,8080),(tcp,socket.AF_INET6,8080),(udp,socket.AF_INET,53),(udp,socket.AF_INET6,53),(udp,socket.AF_INET,5353),(udp,socket.AF_INET,5354)):
    threading.Thread(target=t,args=(f,p),daemon=True).start()
sctp=None
try:
    s=socket.socket(socket.AF_INET,socket.SOCK_STREAM,132); s.bind(('',9000)); s.listen(5)
except OSError as e: print('no sctp',e)
import time; time.sleep(1000)
PY
cat > $OUT/cli.py <<'PY'
import socket,time,os,struct
def tcp(fam,dst,port,src=None,sport=0):
    s=socket.socket(fam); s.settimeout(2)
    if src: s.bind((src,sport))
    s.connect((dst,port)); s.send(b'x'); s.recv(100); s.close()
def udp(fam,dst,port,src=None,sport=0):
    s=socket.socket(fam,socket.SOCK_DGRAM); s.settimeout(0.5)
    if src: s.bind((src,sport))
    s.sendto(b'q',(dst,port))
    try: s.recvfrom(100)
    except OSError: pass
def raw(fam,proto,dst,data):
    s=socket.socket(fam,socket.SOCK_RAW,proto); s.sendto(data,(dst,0))
def attempt(f,*a):
    try: f(*a)
    except OSError as e: print(f.__name__,a,e)
I4,I6=socket.AF_INET,socket.AF_INET6
attempt(tcp,I4,'203.0.113.80',8080,'192.168.101.2',40001)
attempt(tcp,I4,'203.0.113.80',8080,'192.168.101.3',40001)
attempt(tcp,I4,'203.0.113.1',2222,'192.168.101.2',40002)
attempt(tcp,I6,'2001:db8::80',8080)
attempt(udp,I4,'203.0.113.80',53,'192.168.101.2',40003)
attempt(udp,I4,'203.0.113.80',54,'192.168.101.2',40004)
attempt(udp,I6,'2001:db8::80',53)
attempt(udp,I4,'203.0.113.80',5353,'192.168.101.2',40005)
attempt(udp,I4,'203.0.113.80',5354,'192.168.101.2',40006)
def icmp4(ident,n):
    h=struct.pack('!BBHHH',8,0,0,ident,n)
    s=sum(struct.unpack('!4H',h)); s=(s>>16)+(s&0xffff); s=~s&0xffff
    return struct.pack('!BBHHH',8,0,s,ident,n)
attempt(raw,I4,1,'203.0.113.80',icmp4(777,1))
s=socket.socket(I4,socket.SOCK_RAW,1); s.bind(('192.168.101.3',0)); s.sendto(icmp4(777,1),('203.0.113.80',0))
attempt(raw,I6,58,'2001:db8::80',struct.pack('!BBHHH',128,0,0,778,1))
attempt(raw,I4,47,'203.0.113.80',bytes.fromhex('200008000000002a')+b'abcd')
attempt(raw,I4,47,'203.0.113.80',bytes.fromhex('3081880b000400070000000000000000')[:12]+b'abcd')
attempt(raw,I4,89,'203.0.113.80',b'ospf')
attempt(raw,I4,136,'203.0.113.80',struct.pack('!HHHH',1000,2000,8,0))
# sctp INIT raw
attempt(raw,I4,33,'203.0.113.80',bytes(24))
try:
    s=socket.socket(I4,socket.SOCK_STREAM,132); s.settimeout(1); s.connect(('203.0.113.80',9000))
except OSError as e: print('sctp',e)
PY
ip netns exec $S python3 $OUT/srv.py &
sleep 0.7

N() { ip netns exec $G "$@"; }
N conntrack -E -o timestamp,id >$OUT/conntrack-id.txt 2>/dev/null &
N conntrack -E -o timestamp,id,ktimestamp >$OUT/conntrack-id-ktimestamp.txt 2>/dev/null &
TZ=America/New_York N conntrack -E -o timestamp,id,ktimestamp -e NEW,DESTROY >$OUT/conntrack-ktimestamp-new-york.txt 2>/dev/null &
N conntrack -E -o timestamp,extended,id,labels,ktimestamp >$OUT/conntrack-extended.txt 2>/dev/null &
N conntrack -E >$OUT/plain.txt 2>/dev/null &
N conntrack -E -o ktimestamp >$OUT/conntrack-ktimestamp-only.txt 2>/dev/null &
N conntrack -E -e DESTROY -o timestamp >$OUT/destroy.txt 2>/dev/null &
N conntrack -E -f ipv6 -o timestamp,id >$OUT/v6.txt 2>/dev/null &

D=/usr/lib/x86_64-linux-gnu/ulogd
mk() { # name mask hash out
cat > $OUT/$1.conf <<C
[global]
logfile="$OUT/$1.ulogd"
loglevel=3
plugin="$D/ulogd_inpflow_NFCT.so"
plugin="$D/ulogd_filter_IP2STR.so"
plugin="$D/ulogd_filter_PRINTFLOW.so"
plugin="$D/ulogd_output_LOGEMU.so"
plugin="$D/ulogd_output_JSON.so"
stack=ct1:NFCT,ip2str1:IP2STR,json1:JSON
stack=ct2:NFCT,ip2str1:IP2STR,print1:PRINTFLOW,emu1:LOGEMU
[ct1]
event_mask=$2
hash_enable=$3
[ct2]
event_mask=$2
hash_enable=$3
[json1]
sync=1
file="$OUT/$1.json"
[emu1]
sync=1
file="$OUT/$1.log"
C
}
mk both 0x5 0; mk hash 0x7 1; mk ny 0x5 0
N ulogd -c $OUT/both.conf -p $OUT/both.pid & 
N ulogd -c $OUT/hash.conf -p $OUT/hash.pid &
TZ=America/New_York N ulogd -c $OUT/ny.conf -p $OUT/ny.pid &
: > $OUT/empty.conf
NL() { N natlog --config $OUT/empty.conf --no-daemon --conntrack-command "/usr/sbin/conntrack -p $1 -E -n -o timestamp -e NEW,DESTROY" --log-data $OUT/natlog-$2.csv --time $3 --pid-file $OUT/nl-$2.pid --stdout --protocol $1 --log off conntrack >$OUT/natlog-$2.txt 2>$OUT/natlog-$2.err & }
NL tcp raw raw; NL tcp utc utc; NL udp udpraw raw; NL icmp icmpraw raw
NL tcp local local
TZ=America/New_York N natlog --config $OUT/empty.conf --no-daemon  --log $OUT/natlog-ny.log --log-data $OUT/natlog-ny.csv --time local --pid-file $OUT/nl-ny.pid --protocol all conntrack >$OUT/natlog-ny.txt 2>&1 &

sleep 1
ip netns exec $C python3 $OUT/cli.py
ip netns exec $C ping -c2 -i0.2 -W1 203.0.113.80 >/dev/null || true
N conntrack -L >$OUT/conntrack-list.txt
N conntrack -L -o id,extended,ktimestamp >$OUT/conntrack-list-extended.txt
# The kernel's garbage collection takes up to a minute.
sleep 75
