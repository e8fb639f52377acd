# Sourced after lib.sh by the scripts that run Java: sets `java`, and checks what is installed.
# From the environment, optional:
#   JAVA_HOME   the JDK to use
java=${JAVA_HOME:+$JAVA_HOME/bin/}java

# need_java WHO: ends unless there is a JDK that WHO can use.
need_java() {
  local install="install one with \`sudo apt-get install default-jdk-headless maven\`"
  have "$java" || fail 69 "$1 needs a JDK (17 or newer), and none is installed: $install"
  local major; major=$("$java" -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p')
  [ "${major:-0}" -ge 17 ] || fail 69 "$1 needs a JDK of version 17 or newer, and this is ${major:-unknown}: $install"
}

# need_mvn WHOSE: ends unless Maven is there to fetch jars with.
need_mvn() { have mvn || fail 69 "$1 jars come from Maven Central, and mvn is missing: install it with \`sudo apt-get install maven\`"; }

# copy_jars POM DIR: copies the jars that a POM names into a folder; false, with Maven's first error said, if that fails.
copy_jars() {
  mkdir -p "$2"
  mvn -q -B -f "$1" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$2" >"$2/mvn.log" 2>&1 </dev/null 9>&- \
    || { grep -m 1 ERROR "$2/mvn.log" >&2 || true; return 1; }
}
