# Clones from a mirror into the working directory's $2, so that nothing of the mirror is needed
# afterwards. $1: the mirror; $3: the URL that is the clone's origin; $4: what was found, as
# remote.sh has it; $5: its reference; $6: its commit; $7: how many commits of history, 0 for all.
mirror=$1 place=$2 url=$3 kind=$4 ref=$5 commit=$6 depth=$7
mkdir -p -- "$place"
if [ "$depth" = 0 ]; then
	[ "$kind" = branch ] && set -- --branch "${ref#refs/heads/}" || set --
	# As a copy: files of the mirror must not be the agent's, too.
	git clone --quiet --no-hardlinks --no-checkout --template= "$@" -- "$mirror" "$place" 2>"$HOME/said" ||
		{ cat "$HOME/said" >&2 && exit 1; }
	cd -- "$place"
	git remote set-url origin "$url"
else
	git init --quiet --template= -- "$place"
	cd -- "$place"
	git remote add origin "$url"
	[ "$kind" = empty ] ||
		git fetch --quiet --no-tags --no-write-fetch-head --depth "$depth" -- "$mirror" "$commit"
	case $kind:$ref in
	branch:*)
		name=${ref#refs/heads/}
		git update-ref "refs/remotes/origin/$name" "$commit"
		git update-ref "$ref" "$commit"
		git symbolic-ref HEAD "$ref"
		git config "branch.$name.remote" origin
		git config "branch.$name.merge" "$ref"
		;;
	commit:refs/tags/*) git fetch --quiet --no-tags --no-write-fetch-head --depth "$depth" -- "$mirror" "+$ref:$ref" ;;
	esac
fi
case $kind in
branch) git reset --quiet --hard "$commit" ;;
commit) git checkout --quiet --detach "$commit" ;;
empty) [ -z "$ref" ] || git symbolic-ref HEAD "$ref" ;;
esac
[ "$kind" = empty ] && exit
[ "$(git rev-parse HEAD)" = "$commit" ]
git config --blob HEAD:.gitmodules --null --get-regexp '^submodule\..*\.(path|url)$' \
	>"$HOME/modules" 2>/dev/null || :
git ls-files --stage -z | grep -a -z '^160000 ' >"$HOME/links" || :
