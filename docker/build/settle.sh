#!/bin/sh
# settle.sh FOLDER: modes that do not depend on the builder's umask, and one time for everything, so that the same files are
# the same layer, whoever builds it. 1980, since a zip file holds none before. What has that time already is in a layer
# below: touched again, it would be in this one too.
set -eu
find "$1" -newermt 1980-01-02 ! -type l -exec chmod u=rwX,go=rX {} +
find "$1" -newermt 1980-01-02 -exec touch --no-dereference --date=1980-01-01T00:00:00Z {} +
