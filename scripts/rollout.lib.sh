# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after cluster.lib.sh: waits for everything to run, and meanwhile reports what is missing, and why.

# How long everything may take. The first time, most of it is the download of the public images, 1 GB;
# with the images it is two minutes.
up_s=${UP_TIMEOUT:-1800}

# How often the pods are polled: often enough for a person, seldom enough for a small cluster.
poll_s=2

# How often the reason is repeated for a pod that runs and is not ready.
remind_s=20

# The last reported state of a pod, by name, and when a reason was last given.
declare -A said_state said_at

# The state of every workload in one line each: KIND NAME DESIRED REPLICAS UPDATED READY CURRENT, where CURRENT says
# whether the controller has processed the newest template. A Job's are completions and successes.
workloads() {
  kube get deployments,statefulsets,jobs -l "$applied" -o 'go-template={{range .items -}}
    {{.kind}} {{.metadata.name}} {{if eq .kind "Job"}}{{or .spec.completions "1"}} {{or .status.succeeded "0"}} - -{{range .status.conditions}}{{if and (eq .type "Failed") (eq .status "True")}} failed:{{.reason}}{{end}}{{end}}{{else -}}
    {{.spec.replicas}} {{or .status.replicas "0"}} {{or .status.updatedReplicas "0"}} {{or .status.readyReplicas "0"}} {{eq (print .metadata.generation) (print .status.observedGeneration)}}{{end}}
{{end}}'
}

# unfinished: prints the workloads that are not done, one a line; nothing when all are.
unfinished() {
  local kind name desired replicas updated ready more
  workloads | while read -r kind name desired replicas updated ready more; do
    case $kind:$more in
      Job:failed:*) echo "job/$name failed ${more#failed:}" ;;
      Job:*) [ "$replicas" = "$desired" ] || echo "job/$name" ;;
      :*) ;;
      *:true) [ "$desired/$desired/$desired" = "$replicas/$updated/$ready" ] || echo "${kind,,}/$name $ready of $desired" ;;
      *) echo "${kind,,}/$name" ;;
    esac
  done
}

# why POD STATUS: prints what is known about a pod that is not ready.
why() {
  case $2 in
    *ErrImage* | *ImagePull* | InvalidImageName | *CreateContainer* | RunContainerError)
      kube get pod "$1" -o jsonpath='{.status.initContainerStatuses[*].state.waiting.message}{.status.containerStatuses[*].state.waiting.message}' ;;
    Pending | ContainerCreating | PodInitializing)
      kube get events --field-selector "involvedObject.name=$1,type=Warning" --sort-by=.lastTimestamp -o custom-columns=:.message --no-headers | tail -n 1 ;;
    CrashLoopBackOff) kube logs "$1" --tail=5 --previous || kube logs "$1" --tail=5 ;;
    Error | OOMKilled | StartError | ContainerCannotRun | DeadlineExceeded) kube logs "$1" --tail=5 ;;
    *) kube logs "$1" --tail=1 ;;
  esac 2>/dev/null | cut -c 1-300 | sed '/^[[:space:]]*$/d; s/^/           /' >&2 || true
}

# settled NAME READY STATUS: true for a pod in its final state; that of a Job at work is not.
settled() {
  [ "$3" = Completed ] && return
  [ "$3" = Running ] && [ "${2%/*}" = "${2#*/}" ] && ! grep -qxF "job/${1%-*}" <<<"$left"
}

# report_pods BEGIN: one line for each pod whose state has changed, and the reason if it is an error. $left is
# what was unfinished at the last poll.
report_pods() {
  local name ready status restarts _
  while read -r name ready status restarts _; do
    [ -n "$name" ] || continue
    if [ "${said_state[$name]:-}" != "$status $ready $restarts" ]; then
      said_state[$name]="$status $ready $restarts"
      said_at[$name]=$SECONDS
      say "$(printf '%5d s  %-44s %s, %s ready%s' $((SECONDS - $1)) "$name" "$status" "$ready" "$([ "$restarts" = 0 ] || echo ", restarted $restarts times")")"
      case $status in Pending | ContainerCreating | PodInitializing | Running | Completed | Terminating) ;; *) why "$name" "$status" ;; esac
    elif ! settled "$name" "$ready" "$status" && [ $((SECONDS - said_at[$name])) -ge "$remind_s" ]; then
      said_at[$name]=$SECONDS
      say "$(printf '%5d s  %-44s still %s, %s ready' $((SECONDS - $1)) "$name" "$status" "$ready")"
      why "$name" "$status"
    fi
  done < <(kube get pods -l "$applied" --no-headers 2>/dev/null)
}

# wait_for_all: returns when every workload is as its manifest says; ends with a sentence when a Job has failed
# permanently, or at the deadline.
wait_for_all() {
  local begin=$SECONDS left='' job
  while :; do
    report_pods "$begin"
    left=$(unfinished) || left="the cluster does not answer"
    [ -n "$left" ] || return 0
    job=$(sed -n 's/^\(job[^ ]*\) failed \(.*\)/\1 (\2)/p' <<<"$left" | head -n 1)
    [ -z "$job" ] || fail 69 "$job has failed; \`kubectl logs -n $namespace ${job%% *}\` says why; once that is fixed (another file: DATA=), \`make up\` runs it again"
    [ $((SECONDS - begin)) -lt "$up_s" ] || fail 69 "not everything is up after $up_s s: $(tr '\n' ';' <<<"$left" | sed 's/;$//; s/;/, /g')"
    sleep "$poll_s"
  done
}
