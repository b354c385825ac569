# curl in its plainest use.
for host in www beta; do
  answer=$(curl -sS -w ' %{http_code}' -H 'Content-Type: application/json' -d '{"organizationId":"0123456789abcdef0123456789abcdef"}' \
    "https://$host.quantconnect.com/api/v2//agents/list") || exit 1
  case $answer in *'"success":true'*) success=True ;; *) success=False ;; esac
  echo "${answer##* } $success"
done
curl -s -w '%{http_connect}\n' https://example.com/ || true
