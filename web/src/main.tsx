import { createRoot } from 'react-dom/client'
import { App } from './app'
import './theme.css'
import './trace.css'

createRoot(document.getElementById('root')!).render(<App />)
