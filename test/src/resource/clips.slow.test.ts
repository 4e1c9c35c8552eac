import t from 'tap'
import { contractSuite } from '../../support/contract.ts'
import { clipsResource, foldersResource, papersResource } from '../../support/papers.ts'

contractSuite(t, clipsResource, { parents: [foldersResource, papersResource], runs: 15 })
