import t from 'tap'
import { socketIn } from '../../../src/db/embedded.ts'

t.test('the engine is reached by a socket, on Windows by a named pipe (issue 16)', async (t) => {
  t.equal(socketIn('/tmp/rowkeeper-a1B2c3', 'linux'), '/tmp/rowkeeper-a1B2c3/pg')
  t.equal(socketIn('/tmp/rowkeeper-a1B2c3', 'win32'), '\\\\.\\pipe\\rowkeeper-a1B2c3')
})
