"""Reading back what is stored: messages, timelines, payloads, templates, as the API shows them."""
