import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { UNUSED_MS } from '../../plugins/drain.ts'
import { buildAlone } from '../support/app.ts'
import { listen } from '../support/http.ts'
import { holdTimers } from '../support/timers.ts'

t.test(
  'a connection that has sent nothing does not delay the end, and a request is waited for (issue 16)',
  async (t) => {
    const app = await buildAlone(t)
    const port = await listen(app)
    const open = async (): Promise<[client: Socket, server: Socket]> => {
      const client = connect(port, '127.0.0.1')
      const [server] = await once(app.server, 'connection')
      return [client, server]
    }
    const [unused, server] = await open()
    const [used, other] = await open()
    used.write('GET /health/live HTTP/1.1\r\n')
    while (other.bytesRead === 0) await turn()

    const timers = holdTimers(t, UNUSED_MS)
    const closing = app.close()
    await timers.fire()
    t.equal(server.destroyed, true)
    unused.destroy()
    used.write('host: a\r\n\r\n')
    const [answer] = await once(used, 'data')
    t.match(String(answer), /^HTTP\/1\.1 200 OK\r\n/)
    used.resume()
    await closing
  }
)
