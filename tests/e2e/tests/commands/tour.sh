# Every command of `aod`, run once against a real server. The test beside this holds what is here
# against the program's own list: a command that is missing here fails it.
#
# AOD_API_URL, AOD_API_TOKEN and AOD_DATA_DIR are those of the server, COMPONENT is an adapter. The
# working directory is empty.

# Whether what is piped in has a text. All of it is read: who writes is not to find nobody there.
has() {
    local all
    all=$(cat)
    [[ $all == *"$1"* ]] || { echo "nothing says $1: $all" >&2; return 1; }
}

# --- without a server ---

aod serve --print-config | has listen
aod openapi | jq -e .openapi
aod completions bash | has AOD_COMPLETE
aod man pages
test -s pages/aod-session-ls.1
aod doctor --json > doctor.json || test $? = 1
jq -e 'length > 5' doctor.json
aod runtime new macaw
test -s macaw/src/lib.rs
aod runtime check "$COMPONENT" --json | jq -e .
# A module is built for a minute, by the tests of `aod runtime new`; this one is none.
code=0; aod runtime pack "$COMPONENT" packed.wasm || code=$?; test "$code" = 1

# --- the data folder ---

aod user add ada
aod user ls --json | jq -e 'any(.name == "ada")'
spare=$(aod token create spare --user ada --expires 1d)
spare_id=$(aod token ls --user ada --json | jq -re '.[0].id')
AOD_API_TOKEN=$spare aod session ls
aod token revoke "$spare_id" --user ada
code=0; AOD_API_TOKEN=$spare aod session ls || code=$?; test "$code" = 77
aod vault status --json | jq -e .
aod vault export-recipient | has age1
aod vault verify
aod vault rotate
aod upgrade check

# --- what sessions are made of ---

aod login | has '#login='
aod runtime list | has demo
aod runtime show demo --json | jq -e '.health == "ready"'
aod runtime reload
aod model ls | has demo/echo
printf %s 0123456789abcdef | aod credential set env:PLUM
aod credential ls | has env:PLUM
aod credential rm env:PLUM
agent=$(aod agent create --name fruit --runtime demo --model demo/echo)
aod agent show "$agent" | jq -e '.name == "fruit"'
aod agent update "$agent" --system "Be brief."
aod agent versions "$agent" | jq -e 'length == 2'
aod agent ls | has fruit
environment=$(aod env create --name bowl --var COLOUR=red)
aod env show "$environment" | jq -e '.vars.COLOUR == "red"'
aod env update "$environment" --var COLOUR=blue
aod env versions "$environment" | jq -e 'length == 2'
aod env ls | has bowl
aod env rm "$environment"
other=$(aod env create --name basket)
aod env archive "$other"

# --- sessions ---

session=$(aod run "Hello" --agent "$agent" --title plums --detach)
aod session attach "$session" | has "You said: Hello"
aod session ls | has plums
aod session ls --sizes | has plums
aod session show "$session" | has plums
aod session logs "$session" | has Hello
aod session logs "$session" --json | jq -se 'length > 3'
aod session prompt "$session" "And again" | has "And again"
echo here > here.txt
aod session files put "$session" here.txt there.txt
aod session files mv "$session" there.txt elsewhere.txt
aod session files ls "$session" | has elsewhere.txt
aod session files get "$session" elsewhere.txt - | has here
aod session files rm "$session" elsewhere.txt
aod session diff "$session" --json | jq -e '. == []'
copy=$(aod session fork "$session" --turn 1)
aod session prompt "$copy" "Which fruit?" | has 'Earlier you said: "Hello"'
aod session restore "$session" 1
aod session prompt "$session" 'sleep 300' --detach
queued=$(aod session prompt "$session" later --when-busy queue)
aod session queue ls "$session" | has "$queued"
aod session queue rm "$session" "$queued"
until aod session show "$session" --json | jq -e '.status == "running"'; do sleep 0.1; done
aod session interrupt "$session"
aod session attach "$session"
aod session prompt "$session" 'sleep 300' --detach
aod session terminate "$session"
aod session rm "$session"

# A call of the agent's own tool, which waits for its answer.
caller=$(aod agent create --from - <<'END'
{"name": "caller", "runtime": "demo", "model": "demo/echo", "tools": [{
  "name": "lookup", "description": "Looks something up.", "input_schema": {"type": "object"}}]}
END
)
call='{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup","arguments":{}}}'
asks=$(aod run --agent "$caller" --detach "$ curl -sN -H 'content-type: application/json' \
-H 'accept: application/json, text/event-stream' http://127.0.0.1:61079/mcp -d '$call'")
question=
until [ -n "$question" ]; do
    question=$(aod session logs "$asks" --json | jq -r 'select(.type == "tool.request").request_id')
done
aod session answer "$asks" "$question" --content "a pear"
aod session attach "$asks"
aod session logs "$asks" --json | has "a pear"
aod agent archive "$caller"

# --- webhooks ---

aod webhook add http://127.0.0.1:9/hook --event turn.failed | has whsec_
hook=$(aod webhook ls --json | jq -re '.[0].id')
code=0; aod webhook test "$hook" || code=$?; test "$code" = 1
aod webhook rm "$hook"

# --- backups, and a server of what was put back ---

aod backup kept --identity
aod restore kept --data restored
aod serve --data restored --listen 127.0.0.1:0 2> log & served=$!
until grep -qF "listening on" log; do kill -0 $served; sleep 0.1; done
url=$(sed -n 's/.*listening on \(http[^ ]*\).*/\1/p' log)
AOD_API_URL=$url aod session show "$copy" | has "Which fruit?"
kill $served
wait $served
