# The agent of end-to-end tests. It reads orders, one JSON object a line, and says what each prompt's
# text holds: every line of the text is a line of its own output. `wait` stands for the next order;
# `@process` becomes the agent's process id, `@prompts` how many prompts it has had, `@effort` and
# `@image` what the prompt brings, and behind `wait` `@order` and `@said` the order's id and text. A
# line behind `again` is said when the answer is asked for once more.

read -r hello
printf '{"say":"hello","id":"conversant-session"}\n'
prompts=0
exec 3<&0
while read -r prompt; do
    prompts=$((prompts + 1))
    text=${prompt#*\"text\":\"}
    text=${text%\"\}}
    effort=none
    case $prompt in
    *'"effort":"'*)
        effort=${prompt#*\"effort\":\"}
        effort=${effort%%\"*}
        ;;
    esac
    image=none
    case $prompt in
    *'"image":"'*)
        image=${prompt#*\"image\":\"}
        image=${image%%\"*}
        ;;
    esac
    # Prompts of these tests have no escapes but line ends and quotation marks.
    printf '%s\n' "$text" |
        sed "s/\\\\n/\\n/g; s/\\\\\"/\"/g; s/@process/$$/g; s/@prompts/$prompts/g; s/@effort/$effort/g; s|@image|$image|g" |
        while IFS= read -r line; do
            case $line in
            'again '*) printf '%s\n' "${line#again }" >"$HOME/again" ;;
            'Your answer was not accepted'*) cat "$HOME/again" ;;
            wait)
                read -r order <&3 || exit 0
                id=${order#*\"id\":\"}
                id=${id%%\"*}
                said=${order#*\"text\":\"}
                said=${said%%\"*}
                ;;
            *@order* | *@said*) printf '%s\n' "$line" | sed "s/@order/$id/g; s/@said/$said/g" ;;
            *) printf '%s\n' "$line" ;;
            esac
        done
done
