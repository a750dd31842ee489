# Copies a skill out of a mirror. $1: the mirror; $2: the commit; $3: the skill's name; $4: where it
# goes. The exit code 74: there is none.
mirror=$1 commit=$2 name=$3 place=$4
for path in '' "$name" "skills/$name"; do
	if git --git-dir="$mirror" cat-file -e "$commit:${path:+$path/}SKILL.md" 2>/dev/null; then
		rm -rf -- "$place"
		mkdir -p -- "$place"
		git --git-dir="$mirror" archive "$commit:$path" >"$HOME/archive"
		tar -x -f "$HOME/archive" -C "$place"
		exit
	fi
done
exit 74
