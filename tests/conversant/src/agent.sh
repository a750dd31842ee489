# The agent of end-to-end tests. It reads orders, one JSON object a line, and says what the prompt's
# text holds: each line of the text is a line of its own output. `wait` stands for the next order.

read -r hello
printf '{"say":"hello","id":"conversant-session"}\n'
read -r prompt
text=${prompt#*\"text\":\"}
text=${text%%\"\}*}
# Prompts of these tests have no escapes but line ends and quotation marks.
printf '%s\n' "$text" | sed 's/\\n/\n/g; s/\\"/"/g' | while IFS= read -r line; do
    case $line in
    wait) read -r order <&3 || exit 0 ;;
    *) printf '%s\n' "$line" ;;
    esac
done 3<&0
