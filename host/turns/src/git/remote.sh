# Brings the bare mirror in the working directory up to date, and finds what is to be checked out.
# $1: the URL; $2: how many commits of history, 0 for all; $3: what to check out, or nothing;
# $4: `online`, or `offline` to look at what is there. Leaves in ~/found: what it is (`branch`,
# `commit`, `empty`, `missing`), the full name of the reference if there is one, and the commit.
# Exit codes: 71, the server; 72, what was to be checked out is not there, or the server.
url=$1 depth=$2 checkout=$3 mode=$4
case $checkout in
refs/heads/*) checkout=${checkout#refs/heads/} ;;
refs/tags/*) checkout=${checkout#refs/tags/} ;;
esac
is_whole=false
case $checkout in
*[!0-9a-f]*) ;;
*) case ${#checkout} in 40 | 64) is_whole=true ;; esac ;;
esac

commit_of() {
	commit=$(git rev-parse --verify --quiet "$1^{commit}")
}

find_it() {
	kind=missing ref='' commit=''
	if [ -z "$checkout" ]; then
		ref=$(git symbolic-ref --quiet HEAD) || ref=''
		if commit_of HEAD; then
			kind=branch
			[ -n "$ref" ] || kind=commit
		elif [ -z "$(git for-each-ref --count=1 refs/heads)" ]; then
			kind=empty
		fi
	elif commit_of "refs/heads/$checkout"; then
		kind=branch ref=refs/heads/$checkout
	elif commit_of "refs/tags/$checkout"; then
		kind=commit ref=refs/tags/$checkout
	else
		case $checkout in
		refs/*) commit_of "$checkout" && kind=commit ref=$checkout ;;
		*[!0-9a-f]* | ? | ?? | ???) ;;
		*) commit_of "$checkout" && kind=commit ;;
		esac || :
	fi
}

# Whether there is something of Git LFS at the commit that is not here yet.
wants_lfs() {
	[ -n "$commit" ] && [ ! -e "lfs/fetched/$commit" ] && command -v git-lfs >/dev/null &&
		git grep -q -F -e filter=lfs "$commit" -- ':(glob)**/.gitattributes'
}

# Fetches the files of Git LFS at the commit, from the repository's own server whatever it says
# itself. Without them they stay pointers.
fetch_lfs() {
	if git -c "lfs.url=${url%.git}.git/info/lfs" lfs fetch "$url" "$commit"; then
		mkdir -p lfs/fetched
		: >"lfs/fetched/$commit"
	fi
}

fetch() {
	git fetch --quiet --force --no-tags --no-write-fetch-head "$@"
}

if [ "$mode" = online ]; then
	# Whoever made these was killed: nobody else works here.
	find . -name '*.lock' -type f -delete
	rm -f objects/pack/tmp_*
	git init --quiet --bare --template= .
	git ls-remote --symref -- "$url" HEAD 'refs/heads/*' 'refs/tags/*' >"$HOME/remote" || exit 71
	head=$(sed -n 's/^ref: \(refs\/heads\/[^	]*\)	HEAD$/\1/p' "$HOME/remote" | sed -n 1p)
	if [ -n "$head" ]; then
		git symbolic-ref HEAD "$head"
	elif [ -z "$checkout" ]; then
		checkout=$(sed -n 's/^\([0-9a-f]*\)	HEAD$/\1/p' "$HOME/remote" | sed -n 1p)
		[ -z "$checkout" ] || is_whole=true
	fi
	sed -n -e 's/^\([0-9a-f]*\)	\(refs\/heads\/[^^]*\)$/\1 \2/p' \
		-e 's/^\([0-9a-f]*\)	\(refs\/tags\/[^^]*\)$/\1 \2/p' "$HOME/remote" |
		sort >"$HOME/there"
	git for-each-ref --format='%(objectname) %(refname)' refs/heads refs/tags | sort >"$HOME/here"
	if [ "$depth" = 0 ]; then
		cmp -s "$HOME/here" "$HOME/there" ||
			fetch --prune -- "$url" '+refs/heads/*:refs/heads/*' '+refs/tags/*:refs/tags/*' ||
			exit 71
	else
		# Of all references only the one that is asked for is fetched; others may be old.
		comm -13 "$HOME/there" "$HOME/here" | sed 's/^[^ ]* /delete /' | git update-ref --stdin
		for ref in "refs/heads/$checkout" "refs/tags/$checkout"; do
			[ -n "$checkout" ] || ref=$head
			if grep -q -F -x -e "$(git rev-parse --verify --quiet "$ref") $ref" "$HOME/there"; then
				break
			elif cut -d ' ' -f 2- "$HOME/there" | grep -q -F -x -e "$ref"; then
				fetch --depth "$depth" -- "$url" "+$ref:$ref" || exit 71
				break
			fi
		done
	fi
	find_it
	if [ $kind = missing ]; then
		[ "$depth" = 0 ] || set -- --depth "$depth"
		[ "$depth" != 0 ] || set --
		case $checkout in
		refs/*) fetch "$@" -- "$url" "+$checkout:$checkout" || exit 72 ;;
		*)
			[ $is_whole = true ] || exit 72
			fetch "$@" -- "$url" "+$checkout:refs/aod/$checkout" || exit 72
			;;
		esac
		find_it
		[ $kind != missing ] || exit 72
	fi
	! wants_lfs || fetch_lfs
else
	find_it
	! wants_lfs || exit 1
fi
printf '%s\n%s\n%s\n' "$kind" "$ref" "$commit" >"$HOME/found"
