# The demo agent: a coding agent for machines without keys. It reads a prompt from stdin, answers
# in JSON lines (see README.md), keeps its memory in $HOME/.demo, and needs sh, awk and coreutils.

delay=${DEMO_DELAY:-0.02}
memory=$HOME/.demo/prompts
child=

# Writes its argument as a JSON string.
json() {
    printf '%s' "$1" | awk '
        BEGIN { printf "\"" }
        NR > 1 { printf "\\n" }
        {
            gsub(/\\/, "&&"); gsub(/"/, "\\\\&"); gsub(/\t/, "\\\\t"); gsub(/\r/, "\\\\r")
            gsub(/[\001-\037]/, "")
            printf "%s", $0
        }
        END { printf "\"" }'
}

# Says its argument in pieces, and then whole.
say() {
    printf '%s' "$1" | awk '
        { for (word = 1; word <= NF; word++) words[++count] = (word == 1 && NR > 1 ? "\n" : "") $word }
        END {
            group = int(count / 100) + 1
            for (at = 1; at <= count; at += group) {
                piece = ""
                for (word = at; word < at + group && word <= count; word++) piece = piece words[word] " "
                gsub(/\\/, "&&", piece); gsub(/"/, "\\\\&", piece); gsub(/\n/, "\\\\n", piece)
                gsub(/[\001-\037]/, "", piece)
                printf "{\"demo\":\"delta\",\"text\":\"%s\"}\n", piece
            }
        }' | while IFS= read -r line; do
        printf '%s\n' "$line"
        sleep "$delay"
    done
    printf '{"demo":"message","text":%s}\n' "$(json "$1")"
    said="$said$1
"
}

# Runs a command as a tool: its name and then the command.
tool() {
    calls=$((calls + 1))
    printf '{"demo":"tool","id":"call-%s","name":"%s","input":{"command":%s}}\n' \
        "$calls" "$1" "$(json "$2")"
    sh -c "$2" >"$scratch" 2>&1 </dev/null &
    child=$!
    wait "$child"
    code=$?
    child=
    printf '{"demo":"tool-result","id":"call-%s","output":%s,"code":%s}\n' \
        "$calls" "$(json "$(cat "$scratch")")" "$code"
}

# Ends the turn: the failure's kind and message, or nothing; and why it stopped.
finish() {
    printf '{"demo":"usage","read":%s,"written":%s}\n' \
        "$(printf '%s' "$prompt" | wc -w)" "$(printf '%s' "$said" | wc -w)"
    printf '{"demo":"result","text":%s,"failure":%s,"stop":"%s"}\n' \
        "$(json "${said%
}")" "$1" "$2"
    rm -f "$scratch"
}

stopped() {
    [ -n "$child" ] && kill "$child" 2>/dev/null
    finish null interrupted
    exit 130
}

mkdir -p "$HOME/.demo"
scratch=$HOME/.demo/output.$$
calls=0
said=
prompt=$(cat)
trap stopped INT

printf '{"demo":"started","session":"%s"}\n' "$DEMO_SESSION"
turn=1
if [ -s "$memory" ]; then
    turn=$(($(wc -l <"$memory") + 1))
    earlier=$(cat "$memory")
fi
json "$prompt" >>"$memory"
echo >>"$memory"

steered=
plain=
while IFS= read -r line || [ -n "$line" ]; do
    case $line in
    '$ '*)
        steered=1
        tool shell "${line#??}"
        ;;
    'sleep '[0-9]*)
        steered=1
        sleep "${line#sleep }" &
        child=$!
        wait "$child"
        child=
        ;;
    'bytes '[0-9]*)
        steered=1
        head -c "${line#bytes }" /dev/zero | tr '\0' x | fold -w 1000 |
            awk '{ printf "{\"demo\":\"delta\",\"text\":\"%s\"}\n", $0 }'
        ;;
    print-env)
        steered=1
        tool print-env 'env | sort'
        ;;
    fail)
        finish '{"kind":"tool","message":"the prompt asked for a failure"}' failed
        exit 1
        ;;
    'exit '[0-9]*)
        rm -f "$scratch"
        echo "demo: the prompt asked for this end" >&2
        exit "${line#exit }"
        ;;
    *)
        plain="$plain$line
"
        ;;
    esac
done <<END
$prompt
END

[ -n "$plain" ] && say "You said: ${plain%
}"
if [ -z "$steered" ]; then
    printf '{"demo":"thinking","text":"I should look around and leave a note."}\n'
    tool shell 'ls -A'
    note=demo-$turn.txt
    printf '%s\n' "$prompt" >"$note" &&
        printf '{"demo":"file","path":%s,"kind":"created"}\n' "$(json "$PWD/$note")"
    if [ -n "$earlier" ]; then
        say "Earlier you said: $(printf '%s' "$earlier" | awk '{ printf "%s%s", (NR > 1 ? "; " : ""), $0 }')"
    fi
fi
finish null done
