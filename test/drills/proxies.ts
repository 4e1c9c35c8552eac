// nginx and HAProxy compress, with their default settings otherwise. Edits with an ETag work, pages arrive, and events
// are not held back (issue 16).
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../support/free-port.ts'
import { fetchJson } from '../support/http.ts'
import { afterwards, cluster, drill, expect, folder, service, tokenOf, until } from './kit.ts'

/** Starts a proxy with a configuration, and resolves with the URL that it serves. */
async function proxy(
  command: string,
  args: (file: string) => string[],
  configOf: (port: number, home: string) => string
) {
  const [port, home] = [await freePort(), folder()]
  const file = join(home, 'config')
  writeFileSync(file, configOf(port, home))
  const child = spawn(command, args(file), { stdio: ['ignore', 'inherit', 'inherit'] })
  afterwards(() => child.kill())
  const url = `http://127.0.0.1:${port}`
  const answers = () =>
    fetch(`${url}/health/ready`).then(
      ({ ok }) => ok,
      () => false
    )
  await until(() => `${command} does not answer`, answers)
  return url
}

const nginx = (to: number) =>
  proxy(
    'nginx',
    (file) => ['-c', file],
    (port, home) => `
daemon off;
pid ${home}/pid;
error_log ${home}/errors;
events {}
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${home}/${name};`).join(' ')}
  gzip on;
  gzip_types application/json;
  gzip_min_length 0;
  gzip_proxied any;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${to};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
    }
  }
}
`
  )

const haproxy = (to: number) =>
  proxy(
    'haproxy',
    (file) => ['-f', file],
    (port) => `
defaults
  mode http
  compression algo gzip
  timeout connect 1s
  timeout client 60s
  timeout server 60s
listen api
  bind 127.0.0.1:${port}
  server one 127.0.0.1:${to}
`
  )

const headers = { authorization: `Bearer ${tokenOf('alice')}` }

async function edits(name: string, url: string): Promise<void> {
  const made = await fetchJson(`${url}/api/tasks`, { headers, body: { title: 'x' } })
  const one = new URL(made.headers.get('location') ?? '', url)
  const shown = await fetchJson(one, { headers })
  const tag = shown.headers.get('etag') ?? ''
  const edit = (title: string) =>
    fetchJson(one, { method: 'PUT', headers: { ...headers, 'if-match': tag }, body: { title } })
  const same = await fetchJson(one, { headers: { ...headers, 'if-none-match': tag } })
  const edited = await edit('y')
  const late = await edit('z')
  const statuses = [same, edited, late].map(({ status }) => status).join()
  expect(
    statuses === '304,200,412',
    `${name}: with the ETag ${tag} as it came: unchanged, edited, too late (${statuses})`
  )
}

async function pages(name: string, url: string): Promise<void> {
  const q = '\u4efb'.repeat(191)
  for (let i = 0; i < 2; i++) {
    await fetchJson(`${url}/api/tasks`, { headers, body: { title: q } })
  }
  const page = await fetchJson(`${url}/api/tasks?limit=1&q=${encodeURIComponent(q)}`, { headers })
  expect(page.status === 200, `${name}: a page of a long search is a ${page.status}`)
}

async function events(name: string, url: string): Promise<void> {
  const controller = new AbortController()
  const stream = await fetch(`${url}/api/tasks/events`, { headers, signal: controller.signal })
  const chunks = (stream.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const told = async (event: string) => {
    while (!text.includes(`event: ${event}`)) {
      const { done, value = '' } = await chunks.read()
      if (done) throw new Error(`the stream ended before ${event}`)
      text += value
    }
  }
  await told('reload')
  const begun = performance.now()
  await fetchJson(`${url}/api/tasks`, { headers, body: { title: 'x' } })
  await told('created')
  const ms = Math.round(performance.now() - begun)
  controller.abort()
  expect(ms < 2000, `${name}: an event came after ${ms} ms`)
}

await drill('Proxies that compress', async () => {
  const { url } = await cluster()
  const { port } = await service({ DATABASE_URL: url })
  for (const [name, start] of Object.entries({ nginx, haproxy })) {
    const through = await start(port)
    await edits(name, through)
    await pages(name, through)
    await events(name, through)
  }
})
