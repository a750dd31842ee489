# Puts the files of Git LFS in their places that the mirror $mirror has; the working directory is the
# clone. The clone's own git cleans and smudges them from now on.
if [ -n "$(git ls-files -- ':(attr:filter=lfs)' | sed -n 1p)" ]; then
	if command -v git-lfs >/dev/null; then
		git config filter.lfs.clean 'git-lfs clean -- %f'
		git config filter.lfs.smudge 'git-lfs smudge -- %f'
		git config filter.lfs.process 'git-lfs filter-process'
		git config filter.lfs.required true
		hooks=$(git rev-parse --git-dir)/hooks
		mkdir -p -- "$hooks"
		printf '#!/bin/sh\nexec git lfs pre-push "$@"\n' >"$hooks/pre-push"
		chmod 755 "$hooks/pre-push"
		storage=$(git rev-parse --git-dir)/lfs/objects missing=0
		git lfs ls-files --long | cut -d ' ' -f 1 | sort -u >"$HOME/lfs"
		while read -r id; do
			folder=$(printf %s "$id" | cut -c 1-2)/$(printf %s "$id" | cut -c 3-4)
			if [ -f "$mirror/lfs/objects/$folder/$id" ]; then
				mkdir -p -- "$storage/$folder"
				cp -- "$mirror/lfs/objects/$folder/$id" "$storage/$folder/$id"
			else
				missing=$((missing + 1))
			fi
		done <"$HOME/lfs"
		git lfs checkout >/dev/null
		[ $missing = 0 ] ||
			echo "note: $missing files of this repository are in Git LFS and could not be fetched: they are pointers"
	else
		echo "note: files of this repository are in Git LFS, and git-lfs is not installed on the server's machine: they are pointers"
	fi
fi
