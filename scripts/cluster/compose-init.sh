#!/bin/sh
# For docker-compose.yml, once: the key, the files of three nodes, the first node's database, the log of it, and its copies.
set -eu
data=${DATA:-/data}
mkdir -p "$data"
cd "$data"
[ ! -e made ] || exit 0
umask 077
firstcome cluster key >cluster.key
for n in 1 2 3; do
    cat >n$n.toml <<TOML
cluster = "compose"
node = "n$n"
members = ["http://127.0.0.1:8113", "http://127.0.0.1:8123", "http://127.0.0.1:8133"]
key_file = "$data/cluster.key"
test = true # all on one machine and without certificates: never for a sale

[advertise]
public_url = "http://127.0.0.1:81${n}0"
admin_url = "http://127.0.0.1:81${n}1"
wire = "127.0.0.1:81${n}2"
TOML
done
firstcome serve --data n1 --public 127.0.0.1:8110 --admin 127.0.0.1:8111 --wire 127.0.0.1:8112 &
server=$!
until firstcome health --admin 127.0.0.1:8111; do sleep 1; done
kill -TERM $server
wait $server || true # a signal that comes before the server handles it ends it as kill -9 would
until firstcome cluster init --cluster n1.toml --data n1; do sleep 2; done
cp -R n1 n2
cp -R n1 n3
touch made
