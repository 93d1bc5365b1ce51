# awk -v name=PACKAGE -f only.awk LIST: that package's lines of a hash-pinned list.
$0 ~ "^" name "==" { inside = 1 }
inside { print }
!/\\$/ { inside = 0 }
